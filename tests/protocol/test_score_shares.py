"""Joint scores by parts, and how many rows fit what is still one message."""

import numpy as np
import pytest

from tests.protocol.conduct import Talk, conduct
from tests.protocol.plain_ring import RingMasks
from tests.protocol.streams import RING
from veilscore.models.errors import ProtocolError
from veilscore.models.script import Script
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.models.vertical.score_shares import collect_scores, send_scores
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.v1.training_pb2 import Predictor, ScoreShare, TrainingMessage


@pytest.mark.parametrize("rows", [1, 8184, 8185, 20_000])
def test_scores_by_parts_are_the_scores_of_all_rows(rows: int) -> None:
    names, rng = ("bureau", "market"), np.random.default_rng(rows)
    scores = {name: rng.integers(-900, 900, rows) for name in names}
    found: list[float] = []

    def bank() -> Script:
        found.extend((yield from collect_scores(names, RING, rows)))

    sent = {
        name: send_scores("bank", RING, RingMasks(name, names), "final", scores[name])
        for name in names
    }
    said = conduct({**sent, "bank": bank()})
    assert found == np.sum([*scores.values()], axis=0).tolist()
    assert len(said) == len(names)


@pytest.mark.parametrize("size", [0, 255, 257, 512])
def test_a_share_of_other_rows_is_refused_and_its_sender_named(size: int) -> None:
    talk = Talk(collecting(62))
    talk.begin()
    shares = {
        name: TrainingMessage(score_share=ScoreShare(ciphertexts=bytes(length)))
        for name, length in (("bureau", 256), ("market", size))
    }
    with pytest.raises(ProtocolError, match="wrong number of rows") as caught:
        talk.tell(shares)
    assert caught.value.party == "market"


def collecting(rows: int) -> Script:
    yield from collect_scores(("bureau", "market"), RING, rows)


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_what_is_one_message_fits_an_envelope_for_four_million_rows(bits: int) -> None:
    rows, room = 4_000_000, MAX_ENVELOPE_BYTES - 4096  # for seal, header, signature
    shares = ScoreLayout.plan(1 << bits - 1).plaintexts(rows) * 2 * bits // 8
    predictor = Predictor(masked=bytes(8 * rows)).ByteSize()
    assert max(shares, predictor) < room / 2
