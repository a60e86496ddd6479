"""Second moments of two feature holders' columns, of which each shows a masked half.

The holder whose rows were summed decrypts sums with masks of the other's, who keeps
the negated masks. The label holder adds both halves and learns the sums, in both
holders' rotations; a half alone is uniform noise.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from veilscore.models.errors import ProtocolError
from veilscore.models.script import Arrived
from veilscore.models.vertical.layout import ROTATED_UNIT, CrossLayout, to_signed
from veilscore.models.vertical.ports import Floats
from veilscore.v1.training_pb2 import CrossShare


def cross_share(
    key_owner: str, other: str, modulus: int, residues: list[int]
) -> CrossShare:
    """Encode one half of a masked cross block."""
    size = (modulus.bit_length() + 7) // 8
    return CrossShare(
        key_owner=key_owner,
        other=other,
        residues=b"".join(value.to_bytes(size, "big") for value in residues),
        modulus=modulus.to_bytes(size, "big"),
    )


def match_halves(
    answers: Arrived, order: Sequence[str]
) -> Iterator[tuple[CrossShare, CrossShare]]:
    """Yield each pair's masked half and its mask; ``order`` is of the key owners."""
    found: dict[tuple[str, str, str], CrossShare] = {
        (share.key_owner, share.other, peer): share
        for peer, message in answers.items()
        for share in message.cross_shares.shares
    }
    for owner, other in itertools.combinations(order, 2):
        masked, mask = (found.get((owner, other, peer)) for peer in (owner, other))
        if masked is None or mask is None:
            raise ProtocolError(
                f"sent no cross moments of the pair {owner}, {other}",
                party=owner if masked is None else other,
            )
        yield masked, mask


def read_cross(
    halves: Sequence[CrossShare], columns: tuple[int, int], rows: int, max_columns: int
) -> Floats:
    """Add the two halves of a pair; ``columns`` are the key owner's and the other's.

    Returns weighted sums of the rotated codes' products, the owner's less their mean:
    (owner's columns, other's columns).
    """
    masked, mask = halves
    size, modulus = len(masked.modulus), int.from_bytes(masked.modulus, "big")
    layout = CrossLayout.plan(rows, columns[0], max_columns, modulus)
    wanted = size * columns[1] * len(layout.groups)
    if masked.modulus != mask.modulus or not (
        len(masked.residues) == len(mask.residues) == wanted
    ):
        raise ProtocolError("halves of a pair that do not match", party=mask.key_owner)
    sums = [
        to_signed(
            sum(
                int.from_bytes(half.residues[start : start + size], "big")
                for half in halves
            )
            % modulus,
            modulus,
        )
        for start in range(0, wanted, size)
    ]
    block = [
        layout.read(sums[column :: columns[1]], mask.other)
        for column in range(columns[1])
    ]
    return np.array(block, dtype=np.float64).T / ROTATED_UNIT**2
