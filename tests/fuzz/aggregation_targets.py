"""What aggregator and members of a secure aggregation read of each other.

Everything is signed, so whoever may sign is let make things up: the mutated body is
signed again, also where the aggregator passes a member's message on.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target
from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    STEPS,
    Attempt,
    Watched,
    terms,
    vectors,
)
from veilscore.keys.aggregation.dealing import receive
from veilscore.keys.aggregation.evidence import MisconductEvidence, is_about_sums
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.wire import Kind, read, read_evidence, write
from veilscore.keys.errors import Breach, MisconductError
from veilscore.keys.identity import AGGREGATION_DOMAIN
from veilscore.v1.aggregation_pb2 import (
    SealedShares,
    SharePair,
    SignedAggregation,
    SignedList,
)

_TERMS: Final = terms(3, length=2)
_ONE: Final = NAMES[1]


def _signed(body: bytes, sender: str, words: bytes = b"") -> bytes:
    signature = SIGNERS[sender].sign(AGGREGATION_DOMAIN, body)
    return SignedAggregation(
        body=body, signature=signature, words=words
    ).SerializeToString()


def _outer(data: bytes) -> SignedAggregation:
    return SignedAggregation.FromString(data)


def _at(step: Kind) -> Attempt:
    """Return an attempt in which a step's messages are made and not yet taken."""
    attempt = Attempt(_TERMS, vectors(_TERMS))
    attempt.play_until(step)
    heard = attempt.said[STEPS[STEPS.index(step) - 1]] if STEPS.index(step) else b""
    attempt.answer(step, _ONE, heard)
    return attempt


def message(_: Stock) -> Target:
    made = [_at(step).sent[step][_ONE] for step in STEPS]
    aggregator = _at(Kind.KEYS).aggregator

    def decode(data: bytes) -> None:
        read_evidence(data, _TERMS)
        aggregator.twin().take(data)

    first, *others = made
    return Target(decode, [first], refused=others, share=0.5)


def at_the_aggregator(step: Kind, _: Stock) -> Target:
    attempt = _at(step)
    sample = _outer(attempt.sent[step][_ONE])
    return Target(
        lambda body: attempt.aggregator.twin().take(_signed(body, _ONE, sample.words)),
        [sample.body],
        share=0.5,
    )


def _hears(member: Member, step: Kind, data: bytes) -> None:
    hearing: Mapping[Kind, Callable[[bytes], object]] = {
        Kind.KEYS: member.share_keys,
        Kind.SHARES: lambda heard: member.mask_input(heard, vectors(_TERMS)[NAMES[0]]),
        Kind.MASKED: member.agree,
        Kind.AGREEMENT: member.reveal_shares,
        Kind.REVEALED: member.finish,
    }
    hearing[step](data)


def _said(step: Kind) -> tuple[Watched, SignedAggregation, Attempt]:
    """Return a member that awaits what ends a step, and that."""
    attempt = Attempt(_TERMS, vectors(_TERMS))
    attempt.play_until(Kind.TOTAL if step is Kind.REVEALED else _after(step))
    return attempt.members[NAMES[0]], _outer(attempt.said[step]), attempt


def _after(step: Kind) -> Kind:
    return STEPS[STEPS.index(step) + 1]


def at_a_member(step: Kind, _: Stock) -> Target:
    member, sample, _attempt = _said(step)
    return Target(
        lambda body: _hears(member.twin(), step, _signed(body, HUB, sample.words)),
        [sample.body],
        share=0.3,
    )


def passed_on(step: Kind, _: Stock) -> Target:
    """Let a member make up what the aggregator passes on."""
    member, sample, attempt = _said(step)
    kind = read(sample.SerializeToString(), _TERMS).kind
    honest = {name: attempt.sent[step][name] for name in _TERMS.names}

    def decode(body: bytes) -> None:
        entries = {**honest, _ONE: _signed(body, _ONE)}
        made = SignedList(entries=list(entries.values()))
        _hears(member.twin(), step, write(_TERMS, HUB, SIGNERS[HUB], kind, made))

    return Target(decode, [_outer(honest[_ONE]).body], share=0.3)


def share_pair(_: Stock) -> Target:
    """Let a dealer seal anything."""
    attempt = Attempt(_TERMS, vectors(_TERMS))
    attempt.play_until(Kind.SHARES)
    dealer, holder = attempt.members[_ONE].keys, attempt.members[NAMES[0]].keys
    sent = attempt.sent[Kind.KEYS][_ONE]
    keys = read(sent, _TERMS)

    def decode(plaintext: bytes) -> None:
        sealed = dealer.seal(NAMES[0], holder.channel_public, plaintext)
        receive(holder, keys, SealedShares(sealed=sealed), keys, _TERMS)

    pair = SharePair(mask_key=bytes(16), self_mask=bytes(16), group_part=bytes(32))
    # Nothing committed to these: well formed, and refused.
    return Target(decode, [], refused=[pair.SerializeToString()])


def misconduct(_: Stock) -> Target:
    """Read evidence of which its finder signs whatever it likes."""
    attempt = _at(Kind.KEYS)
    shown = attempt.sent[Kind.KEYS][_ONE]
    error = MisconductError(
        Breach.UNUSABLE_KEY, "signed no key", party=_ONE, evidence=(shown,)
    )

    def made(error: MisconductError) -> bytes:
        return MisconductEvidence.sign(
            error,
            _TERMS.run,
            _TERMS.contract,
            _TERMS.roster,
            _TERMS.aggregator,
            finder=_ONE,
            signer=SIGNERS[_ONE],
            found_s=1,
        )

    def decode(data: bytes) -> None:
        told = error.what, data[:1].hex()
        made_up = MisconductError(error.breach, " ".join(told), evidence=(data,))
        MisconductEvidence.load(made(made_up))

    def whole(data: bytes) -> None:
        if is_about_sums(data):
            MisconductEvidence.load(data)
        else:
            decode(data)

    return Target(whole, [shown, made(error)], share=0.3)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "aggregation message": message,
    **{f"aggregation, {step}": partial(at_the_aggregator, step) for step in STEPS},
    **{f"aggregation, after {step}": partial(at_a_member, step) for step in STEPS},
    **{
        f"aggregation, {step} passed on": partial(passed_on, step)
        for step in (Kind.KEYS, Kind.SHARES, Kind.AGREEMENT)
    },
    "aggregation, sealed shares": share_pair,
    "evidence of misconduct": misconduct,
}
