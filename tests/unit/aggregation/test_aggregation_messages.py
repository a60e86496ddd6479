"""Messages that are changed, repeated, late or early: refused, and nothing changes."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    STEPS,
    Attempt,
    plain_sum,
    terms,
    vectors,
)
from veilscore.keys.aggregation.wire import Kind, digest, read, write
from veilscore.keys.errors import Breach, MisconductError, UnheardError
from veilscore.keys.identity import AGGREGATION_DOMAIN, Signer
from veilscore.v1 import aggregation_pb2 as pb

ONE = NAMES[0]
TERMS = terms(3)
each_step = pytest.mark.parametrize("step", STEPS)


def attempt() -> Attempt:
    return Attempt(TERMS, vectors(TERMS))


def finish(played: Attempt, step: Kind, heard: bytes) -> None:
    """Go on from the beginning of a step, and expect the exact sum."""
    for at in STEPS[STEPS.index(step) :]:
        for name in TERMS.names:
            if name not in played.sent[at]:
                played.answer(at, name, heard)
            played.aggregator.take(played.sent[at][name])
        heard = played.close(at)
    expected = plain_sum(played.vectors, TERMS.names)
    for member in played.members.values():
        assert np.array_equal(member.finish(heard).total, expected)


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(UnheardError) as caught:
        work()
    assert caught.value.what
    assert caught.value.place
    assert caught.value.remedy


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


@each_step
def test_a_changed_byte_of_a_member_is_refused(step: Kind) -> None:
    played, random = attempt(), Random(1)
    played.play_until(step)
    heard = played.said.get(STEPS[STEPS.index(step) - 1], b"")
    good = played.answer(step, ONE, heard)
    for at in range(len(good)):
        bad = flipped(good, at, random.randrange(8))
        refused(lambda bad=bad: played.aggregator.take(bad))  # type: ignore[misc]
    assert played.aggregator.missing == TERMS.names
    finish(played, step, heard)


@each_step
def test_a_changed_byte_of_the_aggregator_is_refused(step: Kind) -> None:
    played, random = attempt(), Random(2)
    played.play_until(Kind.TOTAL)
    said = dict(played.said)
    played = Attempt(TERMS, vectors(TERMS))
    played.play_until(step)
    for name in TERMS.names:
        heard = played.said.get(STEPS[STEPS.index(step) - 1], b"")
        played.aggregator.take(played.answer(step, name, heard))
    good = played.close(step)
    assert len(good) == len(said[step])
    for at in range(len(good)):
        bad = flipped(good, at, random.randrange(8))
        refused(lambda bad=bad: hear(played, step, bad))  # type: ignore[misc]
    if step is Kind.REVEALED:
        assert played.members[ONE].finish(good).survivors == TERMS.names
    else:
        finish(played, STEPS[STEPS.index(step) + 1], good)


def hear(played: Attempt, step: Kind, data: bytes) -> object:
    """Let the first member hear what ends a step."""
    if step is Kind.REVEALED:
        return played.members[ONE].finish(data)
    return played.answer(STEPS[STEPS.index(step) + 1], ONE, data)


@each_step
def test_what_is_cut_or_lengthened_is_refused(step: Kind) -> None:
    played = attempt()
    played.play_until(step)
    heard = played.said.get(STEPS[STEPS.index(step) - 1], b"")
    good = played.answer(step, ONE, heard)
    for bad in (
        *(good[:length] for length in range(0, len(good), 7)),
        good + b"\0",
        good + good,
        good + b"\x22\x01a",  # a field that we do not know
        good + bytes(1 << 20),
    ):
        refused(lambda bad=bad: played.aggregator.take(bad))  # type: ignore[misc]
    finish(played, step, heard)


@each_step
def test_repeated_early_and_late_messages_change_nothing(step: Kind) -> None:
    played = attempt()
    played.play_until(Kind.TOTAL)
    past = {at: dict(sent) for at, sent in played.sent.items()}
    for name, data in past[step].items():
        assert played.aggregator.take(data) == name  # came before
    for name, member in played.members.items():
        if step is not Kind.REVEALED:
            with pytest.raises(UnheardError) as caught:
                hear(played, step, played.said[step])
            assert caught.value.breach is Breach.REPEATED
        assert member.finish(played.said[Kind.REVEALED]).survivors == TERMS.names
        assert name in TERMS.names
    fresh = attempt()
    if step is not Kind.KEYS:
        with pytest.raises(UnheardError):
            fresh.aggregator.take(past[step][ONE])
        with pytest.raises(UnheardError) as caught:
            fresh.answer(step, ONE, played.said[STEPS[STEPS.index(step) - 1]])
        assert caught.value.breach is Breach.OUT_OF_STEP


@each_step
def test_a_member_that_signs_two_answers_is_named(step: Kind) -> None:
    played = attempt()
    played.play_until(step)
    heard = played.said.get(STEPS[STEPS.index(step) - 1], b"")
    first = played.answer(step, ONE, heard)
    played.aggregator.take(first)
    body = read(first, TERMS).content
    changed = getattr(body, step)
    words = b""
    if step is Kind.MASKED:
        words = bytes(8 * TERMS.length)
        changed = pb.MaskedInput(words=digest(words))
    else:
        changed.ClearField(changed.DESCRIPTOR.fields[0].name)
    second = write(TERMS, ONE, SIGNERS[ONE], step, changed, words)
    with pytest.raises(MisconductError) as caught:
        played.aggregator.take(second)
    assert caught.value.breach is Breach.TWO_ANSWERS
    assert caught.value.party == ONE
    assert len(caught.value.evidence) == 2


def signed(sender: str, signer: Signer, **header: object) -> bytes:
    """Return a message whose header says something else than it should."""
    values: dict[str, object] = {
        "version": 1,
        "run": TERMS.run,
        "round": TERMS.round,
        "attempt": TERMS.attempt,
        "context": TERMS.context,
        "sender": sender,
        "keys": pb.RoundKeys(),
    }
    body = pb.AggregationBody(**{**values, **header})  # type: ignore[arg-type]
    raw = body.SerializeToString(deterministic=True)
    signature = signer.sign(AGGREGATION_DOMAIN, raw)
    return pb.SignedAggregation(body=raw, signature=signature).SerializeToString()


def test_headers_that_say_something_else_are_refused_by_name() -> None:
    own = SIGNERS[ONE]
    for data, breach in (
        (signed(ONE, own, version=2), Breach.MALFORMED),
        (signed("nobody", own), Breach.MALFORMED),
        (signed(ONE, SIGNERS[NAMES[1]]), Breach.BAD_SIGNATURE),
        (signed(ONE, own, run="r2"), Breach.REPLAY),
        (signed(ONE, own, round=2), Breach.REPLAY),
        (signed(ONE, own, attempt=2), Breach.REPLAY),
        (signed(ONE, own, context=bytes(32)), Breach.OTHER_TERMS),
        (signed(ONE, own, keys=None), Breach.MALFORMED),
        (signed(HUB, SIGNERS[HUB]), Breach.OUT_OF_STEP),
    ):
        with pytest.raises(UnheardError) as caught:
            attempt().aggregator.take(data)
        assert caught.value.breach is breach


def test_what_another_member_signs_is_not_the_aggregators() -> None:
    played = attempt()
    played.play_until(Kind.SHARES)
    posed = write(TERMS, ONE, SIGNERS[ONE], Kind.KEY_LIST, pb.SignedList())
    with pytest.raises(UnheardError):
        played.answer(Kind.SHARES, NAMES[1], posed)
    finish(played, Kind.SHARES, played.said[Kind.KEYS])


def test_a_vector_of_another_form_is_our_bug() -> None:
    played = attempt()
    played.play_until(Kind.MASKED)
    member, heard = played.members[ONE], played.said[Kind.SHARES]
    for bad in (np.zeros(4, np.uint64), np.zeros((5, 1), np.uint64)):
        with pytest.raises(ValueError, match="5 words"):
            member.mask_input(heard, bad)
    with pytest.raises(ValueError, match="5 words"):
        member.mask_input(heard, np.zeros(5))  # type: ignore[arg-type]
    finish(played, Kind.MASKED, heard)


def test_calls_out_of_order_are_our_bug() -> None:
    played = attempt()
    with pytest.raises(ValueError, match="not at"):
        played.aggregator.total()
    played.play_until(Kind.SHARES)
    with pytest.raises(ValueError, match="once"):
        played.members[ONE].advertise()
    other = replace(TERMS.aggregator, key=Signer.generate().verify_key)
    with pytest.raises(ValueError, match="another aggregator"):
        Attempt(replace(TERMS, aggregator=other), {})


def test_nothing_secret_is_in_a_repr() -> None:
    played = attempt()
    played.play_until(Kind.AGREEMENT)
    for member in played.members.values():
        held = next(iter(member.held.values()))
        shown = repr(member) + repr(member.keys) + repr(held)
        assert held.self_mask.hex() not in shown
        assert repr(held.self_mask) not in shown
        assert repr(member.keys.self_seed) not in shown


def test_who_forgets_an_attempt_takes_no_more_part_in_it() -> None:
    played = attempt()
    played.play_until(Kind.AGREEMENT)
    member = played.members[ONE]
    seed = member.keys.self_seed
    member.forget()
    assert member.keys.self_seed != seed
    assert not member.held
    assert not member.pairs
    assert not member.group
    with pytest.raises(UnheardError):
        member.agree(played.said[Kind.MASKED])


def test_the_aggregator_says_whom_it_waits_for_and_when_a_round_is_spent() -> None:
    played = attempt()
    for step in STEPS:
        spent = step is Kind.REVEALED
        heard = played.said.get(STEPS[STEPS.index(step) - 1], b"")
        for at, name in enumerate(TERMS.names):
            assert played.aggregator.missing == TERMS.names[at:]
            played.aggregator.take(played.answer(step, name, heard))
        assert played.aggregator.missing == ()
        assert played.aggregator.spent == spent
        played.close(step)
    assert played.aggregator.missing == ()


def test_after_an_attempt_no_secret_is_held() -> None:
    played = attempt()
    seeds = {name: each.keys.self_seed for name, each in played.members.items()}
    played.play()
    for name, member in played.members.items():
        assert member.keys.self_seed != seeds[name]
        assert not member.held
        assert not member.pairs
        assert not member.group
