"""What the label holder decrypts, checked before anything is believed.

Learns: [count, bad] per anonymous bin; moments of rotated columns. A peer whose
answer has the wrong shape, does not add up or leaves its proven range gets a
ProtocolError that names it, and nothing back. So does one whose columns are the same
for every row: a holder of nothing hides nobody's part behind its own.
"""

import math

import numpy as np
from numpy.typing import NDArray

from veilscore.fault import concerning
from veilscore.models.binning import MOST_BINS
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.layout import (
    ROTATED_UNIT,
    ResidualLayout,
    RowLayout,
    rotated_bound,
    to_signed,
)
from veilscore.models.vertical.moments import PeerMoments
from veilscore.models.vertical.ports import Floats, OwnKey
from veilscore.models.vertical.raking import HEAVIEST, effective_rows
from veilscore.models.vertical.run import RESIDUAL_SCALE
from veilscore.models.woe import WOE_SCALE
from veilscore.v1.training_pb2 import BinCiphertexts, Moments

Counts = NDArray[np.int64]
_CONSTANT = 1e-9  # of the mean square: more than rounding leaves of no variance
EMPTY = 1e-9  # keeps the logarithm finite when all rows are good, or bad


def pool_below(
    good: Counts, bad: Counts, minimum: int
) -> tuple[Counts, Counts, Counts]:
    """Pool bins until every pool holds at least ``minimum`` goods and bads.

    Returns (good, bad, pool): bins of a pool carry its total, pool 0 is a bin of its
    own. The smallest pool joins the one with the nearest bad rate, a bin without
    labelled rows counting as average; so besides the totals the bins' holder learns
    which of its larger bins a small one resembles most.
    """
    pools = [[index] for index in range(len(good))]
    rate = bad.sum() / max(1, good.sum() + bad.sum())

    def total(pool: list[int]) -> tuple[int, int]:
        return int(good[pool].sum()), int(bad[pool].sum())

    def log_odds(pool: list[int]) -> float:
        goods, bads = total(pool)
        return math.log((bads + rate + EMPTY) / (goods + 1 - rate + EMPTY))

    while len(pools) > 1:
        pools.sort(key=lambda pool: min(total(pool)))
        if min(total(pools[0])) >= minimum:
            break
        smallest = pools.pop(0)
        here = log_odds(smallest)
        min(pools, key=lambda pool: abs(log_odds(pool) - here)).extend(smallest)
    good, bad, numbers = good.copy(), bad.copy(), np.zeros(len(good), dtype=np.int64)
    shared = [pool for pool in pools if len(pool) > 1]
    for number, pool in enumerate(shared, start=1):
        good[pool], bad[pool] = total(pool)
        numbers[pool] = number
    return good, bad, numbers


def _decrypted(peer: str, ciphertexts: bytes, key: OwnKey, most: int) -> list[int]:
    """Decrypt a vector, which costs milliseconds an element, of ``most`` at most."""
    if len(ciphertexts) > most * key.ciphertext_bytes:
        raise ProtocolError("more ciphertexts than there is to say", party=peer)
    with concerning(peer):
        return key.decrypt(ciphertexts)


def read_counts(
    peer: str,
    column: BinCiphertexts,
    key: OwnKey,
    layout: RowLayout,
    total: list[int],
    most: int,
) -> tuple[Counts, Counts]:
    """Return (good, bad) of a column's bins; ``total`` is [labelled, bad].

    The bins must add up to the totals: a holder whose bins together are not the rows
    is caught here. Each bin may still be any linear form of the encrypted rows, which
    is why there are ``most`` of them.
    """
    residues = _decrypted(peer, column.ciphertexts, key, min(most, MOST_BINS))
    sums = np.array([layout.read_counts(value) for value in residues], dtype=np.int64)
    if len(sums) == 0 or sums.sum(axis=0).tolist() != total:
        raise ProtocolError("bins do not add up to the totals", party=peer)
    good, bad = sums[:, 0] - sums[:, 1], sums[:, 1]
    if (good < 0).any():
        raise ProtocolError("a bin with more bads than rows", party=peer)
    return good, bad


def read_moments(
    peer: str,
    answer: Moments,
    key: OwnKey,
    layout: RowLayout,
    rows: int,
    max_columns: int,
) -> PeerMoments:
    """Decrypt and check one holder's moments over ``rows`` of the run.

    Raises ProtocolError that names the holder, also if no column of it varies.
    """
    size, groups = len(answer.sums), len(layout.groups)
    if not 1 <= size <= max_columns or len(answer.gram) != size**2:
        raise ProtocolError("moments of the wrong shape", party=peer)
    weight, squared = answer.weight, answer.squared_weight
    if not (
        0 < weight <= squared <= weight * HEAVIEST
        and weight <= rows * HEAVIEST
        and weight**2 <= squared * rows
    ):
        raise ProtocolError("rows of a weight that no rows have", party=peer)
    residues = _decrypted(peer, answer.ciphertexts, key, size * groups)
    if len(residues) != size * groups:
        raise ProtocolError("moments of the wrong shape", party=peer)
    signed = [to_signed(value, key.modulus) for value in residues]
    wide = np.array(
        [layout.read_moments(signed[column::size], peer) for column in range(size)],
        dtype=np.float64,
    )
    products = np.array(answer.gram).reshape(size, size) / weight
    mean = np.array(answer.sums) / weight
    most = rotated_bound(max_columns) / ROTATED_UNIT  # of one row; NaN fails, too
    if not (np.abs(products).max() <= most**2 and np.abs(mean).max() <= most):
        raise ProtocolError("moments out of their range", party=peer)
    squares = np.diag(products)
    if (squares - mean**2).max() <= _CONSTANT * squares.max():
        raise ProtocolError(
            "after pooling, its columns tell no row of the run from another",
            party=peer,
            remedy="see whether the run has more bads, and rows that this party knows, "
            "than min_count asks for; else ask it which table its node.toml names, or "
            "leave it out of the roster",
        )
    return PeerMoments(
        covariance=products - np.outer(mean, mean),
        weight=weight,
        effective_rows=effective_rows(weight, squared),
        labelled=wide[:, 0] / ROTATED_UNIT,
        bad=wide[:, 1] / ROTATED_UNIT,
        with_own=wide[:, 2:] / (ROTATED_UNIT * WOE_SCALE),
    )


def read_gradient(
    peer: str, ciphertexts: bytes, key: OwnKey, layout: ResidualLayout, columns: int
) -> Floats:
    """Decrypt inner products of residuals and rotated columns, (columns,)."""
    residues = _decrypted(peer, ciphertexts, key, columns)
    if len(residues) != columns:
        raise ProtocolError("a gradient of the wrong length", party=peer)
    sums = [layout.read(to_signed(value, key.modulus), peer) for value in residues]
    return np.array(sums, dtype=np.float64) / (ROTATED_UNIT * RESIDUAL_SCALE)
