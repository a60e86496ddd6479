"""A default run shows its label holder no per-row value of another holder.

Every message of a whole run, from the contract to the manifest, is decoded and held
against a list of fields and sizes (``label_holder_fields``). Each planted leak changes
one message that was really sent.
"""

import secrets
import struct
from collections.abc import Callable

import numpy as np
import pytest

from tests.attacks.allowed_fields import PublicKnowledge
from tests.protocol.label_holder_fields import Shape, Size, allowed_to_label_holder
from tests.protocol.whole_run import (
    COLUMNS,
    COORDINATOR,
    HOLDERS,
    KNOWN,
    LABEL_HOLDER,
    NOW,
    PAILLIER_BITS,
    RUN,
    VALUES,
    Delivered,
    People,
    WholeRun,
    tables,
)
from veilscore.keys.linkage import size_bucket
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.evaluation import Evaluation
from veilscore.models.steps import steps
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.v1.envelope_pb2 import EnvelopeHeader
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import StepRequest, TrainingMessage

LEAKING = "regulator"
# Field 99, 64 bits wide, which no message of the product has.
UNKNOWN = b"\x99\x06" + struct.pack("<d", 0.731)


@pytest.fixture(scope="module")
def run() -> WholeRun:
    made = WholeRun(People.create())
    made.play()
    return made


@pytest.fixture(scope="module")
def shape(run: WholeRun) -> Shape:
    keys = run.people.paillier
    public = PublicKnowledge(
        coordinator=COORDINATOR,
        parties=HOLDERS,
        runs=(RUN,),
        steps=tuple(steps(run.contract)),
        node_ids=frozenset(),
        key_bits=PAILLIER_BITS,
        version="",
        since=NOW,
        until=NOW,
    )
    sizes = {
        name: Size(
            bins=(VALUES + 1,) * COLUMNS[name],  # and one for what is missing
            entities=KNOWN[name][1] - KNOWN[name][0],
            modulus=keys[name].public.to_bytes(),
        )
        for name in HOLDERS
    }
    return Shape(
        public,
        run.body,
        LABEL_HOLDER,
        keys[LABEL_HOLDER],
        sizes,
        run.rows,
        run.contract.max_columns,
    )


def findings(shape: Shape, got: Delivered) -> list[str]:
    return list(allowed_to_label_holder(shape, got.step, got.sender).check(got.message))


def test_the_label_holder_gets_no_row_of_another_holder(
    run: WholeRun, shape: Shape
) -> None:
    assert [found for got in run.received for found in findings(shape, got)] == []
    sealed = sorted(
        (got.step, got.sender, got.message.WhichOneof("body") or "")
        for got in run.received
        if isinstance(got.message, TrainingMessage)
    )
    assert sealed == shape.messages()
    asked = [got.step for got in run.received if isinstance(got.message, StepRequest)]
    assert asked == list(steps(run.contract))
    keys = [got.sender for got in run.received if isinstance(got.message, SignedKey)]
    assert keys == sorted([*HOLDERS, COORDINATOR])


def test_it_knows_how_many_rows_the_run_has(run: WholeRun) -> None:
    finished, bank = run.sessions[LABEL_HOLDER].finished, tables()[LABEL_HOLDER]
    assert finished is not None
    assert finished.evaluation is not None
    found = Evaluation.of(finished.evaluation)
    union = max(stop for _, stop in KNOWN.values())
    assert found.aligned == run.rows
    assert found.aligned <= union < size_bucket(found.aligned + 1)
    assert found.learned == int((~bank.holdout).sum())


def last(run: WholeRun, step: str, sender: str, kind: str = "") -> TrainingMessage:
    """Return what a sender told last in a step, of a kind if it says which."""
    (*_, found) = [
        got.message
        for got in run.received
        if (got.step, got.sender) == (step, sender)
        and isinstance(got.message, TrainingMessage)
        and kind in ("", got.message.WhichOneof("body"))
    ]
    return found


def codes(run: WholeRun) -> bytes:
    """Return one number a row, of few values: what no holder may give away."""
    rng = np.random.default_rng(6)
    return rng.integers(0, VALUES, run.rows, np.uint8).tobytes()


def as_long_as(real: bytes, run: WholeRun) -> bytes:
    """Return the codes of the rows, again and again, in as many bytes."""
    return (codes(run) * (len(real) // run.rows + 1))[: len(real)]


def readable(plaintexts: list[int], run: WholeRun) -> bytes:
    """Encrypt for the label holder what it then reads in clear."""
    public = run.people.paillier[LABEL_HOLDER].public
    with PaillierWorkers(0) as workers:
        return public.encode(workers.encrypt_for(public, plaintexts))


def plain_codes(message: TrainingMessage, run: WholeRun) -> None:
    message.moments.ciphertexts = codes(run)


def plain_codes_of_the_right_length(message: TrainingMessage, run: WholeRun) -> None:
    moments = message.moments
    moments.ciphertexts = as_long_as(moments.ciphertexts, run)


def one_more_moment(message: TrainingMessage, run: WholeRun) -> None:
    message.moments.ciphertexts += readable([int.from_bytes(codes(run)[:200])], run)


def nearly_one_sum_a_row(message: TrainingMessage, run: WholeRun) -> None:
    message.moments.sums[:] = [0.0] * (run.rows - 1)


def a_row_in_the_gram(message: TrainingMessage, run: WholeRun) -> None:
    message.moments.gram.extend(codes(run)[:3])


def packed_sum(message: TrainingMessage, run: WholeRun) -> None:
    message.moments.sums[0] = float(int.from_bytes(codes(run)[:100]))


def digits_of_the_rows(message: TrainingMessage, run: WholeRun) -> None:
    digits = "".join(map(str, codes(run)))
    message.cross_shares.shares[0].other = digits


def another_owner(message: TrainingMessage, run: WholeRun) -> None:
    message.cross_shares.shares[0].key_owner = codes(run)[:5].hex()


def another_modulus(message: TrainingMessage, run: WholeRun) -> None:
    share = message.cross_shares.shares[0]
    share.modulus = as_long_as(share.modulus, run)


def unmasked_cross_moments(message: TrainingMessage, run: WholeRun) -> None:
    share = message.cross_shares.shares[0]
    share.residues = as_long_as(share.residues, run)


def a_share_too_many(message: TrainingMessage, _: WholeRun) -> None:
    shares = message.cross_shares.shares
    shares.add().CopyFrom(shares[0])
    shares[-1].residues = secrets.token_bytes(len(shares[0].residues))


def a_byte_a_row_in_a_count(message: TrainingMessage, run: WholeRun) -> None:
    message.count_answer.columns[0].ciphertexts = codes(run)


def bins_of_another_column(message: TrainingMessage, run: WholeRun) -> None:
    first, second, *_ = message.count_answer.columns
    width = run.people.paillier[LABEL_HOLDER].public.ciphertext_bytes
    first.ciphertexts += second.ciphertexts[:width]
    second.ciphertexts = second.ciphertexts[width:]


def counts_without_a_mask(message: TrainingMessage, run: WholeRun) -> None:
    rows = int.from_bytes(as_long_as(bytes(200), run))
    column = message.count_answer.columns[0]
    column.ciphertexts = readable([rows] * (VALUES + 1), run)


def codes_instead_of_a_credit(message: TrainingMessage, run: WholeRun) -> None:
    message.CopyFrom(last(run, "counts", LEAKING, "rows_taken"))
    message.rows_taken.rows = int.from_bytes(codes(run)[:4])


def a_byte_a_row_in_a_score(message: TrainingMessage, run: WholeRun) -> None:
    message.score_share.ciphertexts = codes(run)


def scores_without_a_mask(message: TrainingMessage, run: WholeRun) -> None:
    packed = ScoreLayout.plan(run.people.paillier[LABEL_HOLDER].public.n)
    message.score_share.ciphertexts = readable(packed.pack([*codes(run)]), run)


def not_encrypted(message: TrainingMessage, run: WholeRun) -> None:
    public = run.people.paillier[LABEL_HOLDER].public
    count = len(message.score_share.ciphertexts) // public.ciphertext_bytes
    masked = [1 + public.n * secrets.randbelow(public.n) for _ in range(count)]
    message.score_share.ciphertexts = public.encode(
        each % public.n_squared for each in masked
    )


def unknown_field(message: TrainingMessage, _: WholeRun) -> None:
    message.MergeFromString(UNKNOWN)


def unknown_field_deep_inside(message: TrainingMessage, _: WholeRun) -> None:
    message.count_answer.columns[1].MergeFromString(UNKNOWN)


def predictor(message: TrainingMessage, run: WholeRun) -> None:
    message.predictor.masked = secrets.token_bytes(8 * run.rows)


def places_of_others(message: TrainingMessage, run: WholeRun) -> None:
    message.positions.positions.extend(range(run.rows))


def place_out_of_the_run(message: TrainingMessage, run: WholeRun) -> None:
    message.positions.positions[0] = run.rows


def long_challenge(message: TrainingMessage, run: WholeRun) -> None:
    message.hop_challenge.challenge = codes(run)


def ids_in_a_blinded_set(message: TrainingMessage, run: WholeRun) -> None:
    blinded = message.blinded_set
    blinded.points = as_long_as(blinded.points, run)


def a_longer_blinded_set(message: TrainingMessage, _: WholeRun) -> None:
    message.blinded_set.points += secrets.token_bytes(32)


def one_of_two_parts(message: TrainingMessage, _: WholeRun) -> None:
    message.blinded_set.parts = 2


def a_far_part(message: TrainingMessage, _: WholeRun) -> None:
    message.blinded_set.part = 1001


Plant = Callable[[TrainingMessage, WholeRun], None]
LEAKS: list[tuple[str, str, Plant, str]] = [
    ("moments", LEAKING, plain_codes, "Moments.ciphertexts holds"),
    ("moments", LEAKING, plain_codes_of_the_right_length, "ciphertexts holds"),
    ("moments", LEAKING, one_more_moment, "Moments.ciphertexts holds"),
    ("moments", LEAKING, nearly_one_sum_a_row, "Moments.sums has"),
    ("moments", LEAKING, a_row_in_the_gram, "Moments.gram has"),
    ("moments", LEAKING, packed_sum, "Moments.sums holds"),
    ("moments", LEAKING, unknown_field, "TrainingMessage has an unknown field 99"),
    ("cross", LEAKING, digits_of_the_rows, "CrossShare.other holds"),
    ("cross", LEAKING, another_owner, "CrossShare.key_owner holds"),
    ("cross", LEAKING, another_modulus, "CrossShare.modulus holds"),
    ("cross", LEAKING, unmasked_cross_moments, "CrossShare.residues holds"),
    ("cross", LEAKING, a_share_too_many, "CrossShares.shares has"),
    ("counts", LEAKING, a_byte_a_row_in_a_count, "BinCiphertexts.ciphertexts holds"),
    ("counts", LEAKING, bins_of_another_column, "count_answer has another shape"),
    ("counts", LEAKING, counts_without_a_mask, "BinCiphertexts.ciphertexts holds"),
    ("counts", LEAKING, codes_instead_of_a_credit, "RowsTaken.rows holds"),
    ("counts", LEAKING, unknown_field_deep_inside, "BinCiphertexts has an unknown"),
    ("calibrate", LEAKING, a_byte_a_row_in_a_score, "ScoreShare.ciphertexts holds"),
    ("evaluate", LEAKING, a_byte_a_row_in_a_score, "ScoreShare.ciphertexts holds"),
    ("evaluate", LEAKING, scores_without_a_mask, "ScoreShare.ciphertexts holds"),
    ("evaluate", LEAKING, not_encrypted, "ScoreShare.ciphertexts holds"),
    ("evaluate", LEAKING, predictor, "predictor is not on the list"),
    ("rows", COORDINATOR, places_of_others, "Positions.positions has"),
    ("rows", COORDINATOR, place_out_of_the_run, "Positions.positions holds"),
    ("rows", COORDINATOR, long_challenge, "HopChallenge.challenge holds"),
    ("rows", "agriculture", ids_in_a_blinded_set, "BlindedSet.points holds"),
    ("rows", "agriculture", a_longer_blinded_set, "blinded_set has another shape"),
    ("rows", "agriculture", one_of_two_parts, "BlindedSet.parts holds"),
    ("rows", "agriculture", a_far_part, "BlindedSet.part holds"),
]


@pytest.mark.parametrize(
    ("step", "sender", "plant", "named"),
    LEAKS,
    ids=[f"{step}-{plant.__name__}" for step, _, plant, _ in LEAKS],
)
def test_a_planted_leak_is_found(
    run: WholeRun, shape: Shape, step: str, sender: str, plant: Plant, named: str
) -> None:
    message = TrainingMessage()
    message.CopyFrom(last(run, step, sender))
    plant(message, run)
    wire = TrainingMessage.FromString(message.SerializeToString())
    found = findings(shape, Delivered(step, sender, wire))
    assert any(named in each for each in found), found
    assert not any(codes(run).hex() in each for each in found)


def test_what_everybody_may_know_says_no_more(run: WholeRun, shape: Shape) -> None:
    manifest = ModelManifest(cards=[CardEntry(party=LEAKING, card=codes(run))])
    (key,) = [
        got.message
        for got in run.received
        if got.sender == LEAKING and isinstance(got.message, SignedKey)
    ]
    longer = SignedKey(body=key.body + UNKNOWN, signature=key.signature)
    told: list[tuple[str, str, StepRequest | SignedKey | EnvelopeHeader, str]] = [
        (
            "join",
            COORDINATOR,
            StepRequest(contract=run.body + UNKNOWN),
            "contract holds",
        ),
        ("counts", COORDINATOR, StepRequest(contract=run.body), "contract is not on"),
        ("counts", COORDINATOR, StepRequest(manifest=b"1001"), "manifest is not on"),
        (
            "register",
            COORDINATOR,
            StepRequest(manifest=manifest.SerializeToString()),
            "CardEntry.card holds",
        ),
        ("rows", LEAKING, longer, "ReceivingKey has an unknown field 99"),
        ("counts", LEAKING, EnvelopeHeader(step="1001"), "EnvelopeHeader.step holds"),
        ("counts", LEAKING, EnvelopeHeader(sender="1001"), "EnvelopeHeader.sender"),
    ]
    for step, sender, message, named in told:
        (found,) = findings(shape, Delivered(step, sender, message))
        assert named in found
