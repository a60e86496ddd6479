"""Assemble the moment matrix from what each holder is willing to show.

Who learns what: the label holder, the only one to run this, sees other holders'
columns only as sums after their secret rotations.

Blocks come from different rows: those that touch the label holder's columns or
the label run over labelled rows, own and cross blocks of feature holders over all
rows of the run (they do not know which are labelled), weighted so that they look like
the labelled ones (``raking``). Covariances make the two comparable.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.solve import positive


@dataclass(frozen=True, slots=True)
class PeerMoments:
    """Moments of one feature holder's rotated columns, in units of WoE.

    Shapes: d its columns, dl the label holder's. The last three are sums.
    """

    covariance: Floats  # (d, d) over all rows of the run, weighted
    weight: int  # of all rows together
    effective_rows: float  # of the run, see ``raking``
    labelled: Floats  # (d,) over labelled rows
    bad: Floats  # (d,) over bad rows
    with_own: Floats  # (d, dl) over labelled rows, times the own columns


@dataclass(frozen=True, slots=True)
class MomentMatrix:
    """Covariances of all stacked columns, and of each with the label."""

    places: Mapping[str, slice]  # where each party's columns stand
    covariance: Floats  # (D, D)
    with_label: Floats  # (D,)


def assemble(
    own_name: str,
    own: Floats,
    bad: Floats,
    peers: Mapping[str, PeerMoments],
    cross: Mapping[tuple[str, str], Floats],
) -> MomentMatrix:
    """Stack the label holder's columns first, then its peers in their order.

    own: (n, dl) over labelled rows; bad: (n,) 0 or 1; cross[a, b]: (da, db), the
    covariances of a pair over all rows of the run, by a's weights.
    """
    n, p = len(own), bad.mean()
    places = {own_name: slice(0, own.shape[1])}
    for name, peer in peers.items():
        start = max(place.stop for place in places.values())
        places[name] = slice(start, start + len(peer.labelled))
    size = max(place.stop for place in places.values())
    covariance, with_label = np.zeros((size, size)), np.zeros(size)
    here, own_mean = places[own_name], own.mean(axis=0)
    covariance[here, here] = own.T @ own / n - np.outer(own_mean, own_mean)
    with_label[here] = own.T @ bad / n - own_mean * p
    for name, peer in peers.items():
        there = places[name]
        labelled_mean = peer.labelled / n
        covariance[there, there] = peer.covariance
        block = peer.with_own / n - np.outer(labelled_mean, own_mean)
        covariance[there, here], covariance[here, there] = block, block.T
        with_label[there] = peer.bad / n - labelled_mean * p
    for (a, b), block in cross.items():
        covariance[places[a], places[b]] = block
        covariance[places[b], places[a]] = block.T
    return MomentMatrix(places, positive(covariance), with_label)
