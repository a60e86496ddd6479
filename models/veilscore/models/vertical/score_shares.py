"""Joint scores of all rows of a run, of which nobody shows its own share.

Every feature holder packs its partial scores, adds masks that cancel over all holders
and encrypts under the label holder's key. The label holder adds the shares, decrypts
and learns the joint score of every row. Both work on a part of the rows at a time; a
share is one message, of 8 bytes a row.
"""

from collections.abc import Generator
from itertools import islice

import numpy as np

from veilscore.fault import concerning
from veilscore.models.errors import ProtocolError
from veilscore.models.script import Action, Arrived, Script, Send, receive
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.models.vertical.ports import (
    Floats,
    Integers,
    OwnKey,
    PeerKey,
    ZeroSumMasks,
)
from veilscore.models.vertical.row_stream import PART_ROWS, Tally, cut
from veilscore.v1.training_pb2 import ScoreShare, TrainingMessage


def send_scores(
    to: str, key: PeerKey, masks: ZeroSumMasks, label: str, scores: Integers
) -> Script:
    """Send the own partial scores, (rows,), under masks that ``label`` names."""
    layout, modulus = ScoreLayout.plan(key.modulus), key.modulus
    drawn = iter(masks.residues(label, layout.plaintexts(len(scores)), modulus))
    tally, share = Tally(len(scores)), bytearray()
    for part in cut(len(scores), _whole_plaintexts(layout)):
        packed = layout.pack(scores[part].tolist())
        share += key.encrypt(
            [
                (value + mask) % modulus
                for value, mask in zip(packed, islice(drawn, len(packed)), strict=True)
            ]
        )
        yield tally.add(part.stop - part.start)
    message = ScoreShare(ciphertexts=bytes(share))
    yield Send(to, TrainingMessage(score_share=message))


def collect_scores(
    peers: tuple[str, ...], own: OwnKey, rows: int
) -> Generator[Action, Arrived, Floats]:
    """Return the joint scores of the peers, (rows,).

    Raises ProtocolError naming a peer whose share has another length, or all of them
    when their masks do not cancel.
    """
    answers = yield from receive("score_share", peers)
    layout, width = ScoreLayout.plan(own.modulus), own.ciphertext_bytes
    shares = {
        peer: message.score_share.ciphertexts for peer, message in answers.items()
    }
    for peer, share in shares.items():
        if len(share) != layout.plaintexts(rows) * width:
            raise ProtocolError("scores of the wrong number of rows", party=peer)
    tally, scores = Tally(rows), np.empty(rows)
    for part in cut(rows, _whole_plaintexts(layout)):
        count = part.stop - part.start
        start = part.start // layout.slots * width
        stop = start + layout.plaintexts(count) * width
        with concerning(" or ".join(peers)):
            residues = own.decrypt_sum([share[start:stop] for share in shares.values()])
        scores[part] = layout.unpack(residues, count, own.modulus, " or ".join(peers))
        yield tally.add(count)
    return scores


def _whole_plaintexts(layout: ScoreLayout) -> int:
    """Return the rows of a part that ends where a plaintext ends."""
    return max(1, PART_ROWS // layout.slots) * layout.slots
