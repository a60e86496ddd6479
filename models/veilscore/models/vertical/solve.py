"""The label holder's arithmetic: from moments and residuals to weights.

Works on the stacked columns of all holders, each feature holder's block in that
holder's own secret rotation: ridge is rotation-invariant, so nothing here needs
to know the rotations. Shapes: n labelled rows, D stacked columns.
"""

from dataclasses import dataclass, field

import numpy as np

from veilscore.models.vertical.ports import Floats

# Newton steps use 1.5 times the mean curvature: undamped steps overshoot on
# imbalanced data, where the curvature varies most between rows.
DAMPING = 1.5
HISTORY = 8
# Newton loops stop when no parameter moves by more.
TOLERANCE = 1e-12
ITERATIONS = 50
SETTLED = 1e-6  # relative, of a slope


def sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.where(
        z >= 0, 1.0 / (1.0 + np.exp(-np.abs(z))), 1.0 - 1.0 / (1.0 + np.exp(-np.abs(z)))
    )


def calibrate(z: Floats, y: Floats, noise: float = 0.0) -> tuple[float, float]:
    """Return (intercept, slope) of the logistic regression of y on z.

    ``noise`` is the variance of normal noise that z bears. It would flatten the slope;
    but y has a logistic regression of the true slope on z + noise * slope * y, whatever
    the true predictor's distribution (the conditional score of Stefanski and Carroll,
    Biometrika 74, 1987).
    """
    offset, slope = _calibrate(z, y)
    if not noise:
        return offset, slope
    for _ in range(ITERATIONS):
        last = slope
        offset, slope = _calibrate(z + noise * last * y, y)
        if abs(slope - last) < SETTLED * abs(slope):
            break
    return offset + noise * slope**2 / 2, slope


def _calibrate(z: Floats, y: Floats) -> tuple[float, float]:
    """Newton on the standardised predictor; z of no variance gets slope 0."""
    centre, spread = float(z.mean()), float(z.std())
    p = float(y.mean())
    if spread < TOLERANCE:
        return float(np.log(p / (1 - p))), 0.0
    x = (z - centre) / spread
    design = np.column_stack([np.ones_like(x), x])
    beta = np.array([np.log(p / (1 - p)), 0.0])
    for _ in range(ITERATIONS):
        q = sigmoid(design @ beta)
        weight = q * (1 - q) + 1e-9
        step = np.linalg.solve(
            design.T @ (weight[:, None] * design), design.T @ (y - q)
        )
        beta += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < TOLERANCE:
            break
    return float(beta[0] - beta[1] * centre / spread), float(beta[1] / spread)


def intercept(z: Floats, y: Floats) -> float:
    """Return the intercept that maximises the likelihood at slope 1."""
    p = float(y.mean())
    a = float(np.log(p / (1 - p)) - z.mean())
    for _ in range(ITERATIONS):
        q = sigmoid(a + z)
        step = float((y - q).sum() / (q * (1 - q) + 1e-12).sum())
        a += float(np.clip(step, -2.0, 2.0))
        if abs(step) < TOLERANCE:
            break
    return a


def loss(z: Floats, y: Floats) -> float:
    """Return the negative log likelihood of log odds z."""
    return float(np.sum(np.logaddexp(0.0, z) - y * z))


def positive(matrix: Floats) -> Floats:
    """Return the nearest matrix without negative eigenvalues.

    Blocks are estimated on different rows (labelled rows or all rows of the run),
    so the assembled covariance may be slightly indefinite.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    nearest = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(nearest, dtype=np.float64)


def ridge(covariance: Floats, cross: Floats, n: int, penalty: float) -> Floats:
    """Solve (n C + penalty I) w = n c."""
    weights = np.linalg.solve(
        n * covariance + penalty * np.eye(len(covariance)), n * cross
    )
    return np.asarray(weights, dtype=np.float64)


@dataclass(slots=True)
class Newton:
    """Damped Newton steps with the moment matrix as Hessian (``polish``)."""

    covariance: Floats
    penalty: float

    def step(self, w: Floats, gradient: Floats, curvature: float, n: int) -> Floats:
        """Return the next weights; ``curvature`` is the mean of p(1-p)."""
        size = np.eye(len(w))
        hessian = DAMPING * curvature * n * self.covariance + self.penalty * size
        return w + np.linalg.solve(hessian, gradient - self.penalty * w)


@dataclass(slots=True)
class QuasiNewton:
    """L-BFGS preconditioned with the moment matrix (``exact``).

    Nocedal and Wright 2006, algorithm 7.4, with the inverse of the scaled moment
    matrix instead of a multiple of the identity.
    """

    covariance: Floats
    penalty: float
    _pairs: list[tuple[Floats, Floats]] = field(
        default_factory=list[tuple[Floats, Floats]]
    )
    _last: tuple[Floats, Floats] | None = None

    def step(self, w: Floats, gradient: Floats, curvature: float, n: int) -> Floats:
        """Return the next weights to try from w and X'(y - p) there."""
        g = self.penalty * w - gradient  # of the penalised negative likelihood
        if self._last is not None:
            s, d = w - self._last[0], g - self._last[1]
            if float(s @ d) > 1e-12 * float(d @ d):
                self._pairs = [*self._pairs[-HISTORY + 1 :], (s, d)]
        self._last = (w.copy(), g.copy())
        hessian = curvature * n * self.covariance + self.penalty * np.eye(len(w))
        q, alphas = g.copy(), list[float]()
        for s, d in reversed(self._pairs):
            alphas.append(float(s @ q) / float(s @ d))
            q -= alphas[-1] * d
        r = np.linalg.solve(hessian, q)
        for (s, d), alpha in zip(self._pairs, reversed(alphas), strict=True):
            r += s * (alpha - float(d @ r) / float(s @ d))
        return w - r


def line_search(
    z: Floats, trial: Floats, w: Floats, proposed: Floats, y: Floats, penalty: float
) -> float:
    """Return how far to go from w to the proposed weights (1 is all the way).

    The label holder knows both predictors in ``exact`` training, so trying a
    length costs nothing. Minimises the penalised loss with the intercept free.
    """

    def objective(t: float) -> float:
        there, at = w + t * (proposed - w), z + t * (trial - z)
        return loss(at + intercept(at, y), y) + penalty / 2 * float(there @ there)

    # Golden-section search on [0, 2]: the objective is convex in t.
    low, high, ratio = 0.0, 2.0, (np.sqrt(5.0) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    f_left, f_right = objective(left), objective(right)
    for _ in range(30):
        if f_left < f_right:
            high, right, f_right = right, left, f_left
            left = high - ratio * (high - low)
            f_left = objective(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + ratio * (high - low)
            f_right = objective(right)
    return (low + high) / 2


def logistic(x: Floats, y: Floats, penalty: float = 1.0) -> tuple[float, Floats]:
    """Fit a ridge logistic regression on columns of one holder.

    Returns (intercept, weights), the optimum that scikit-learn's
    LogisticRegression(C=1/penalty) has: the bank-alone baseline.
    """
    w, a = np.zeros(x.shape[1]), intercept(np.zeros(len(y)), y)
    for _ in range(ITERATIONS):
        q = sigmoid(a + x @ w)
        weight = q * (1 - q)
        design = np.column_stack([np.ones(len(y)), x])
        hessian = design.T @ (weight[:, None] * design)
        hessian[1:, 1:] += penalty * np.eye(len(w))
        hessian[np.diag_indices_from(hessian)] += 1e-12
        gradient = design.T @ (y - q) - np.concatenate([[0.0], penalty * w])
        step = np.linalg.solve(hessian, gradient)
        a, w = a + float(step[0]), w + step[1:]
        if np.abs(step).max() < TOLERANCE:
            break
    return a, w
