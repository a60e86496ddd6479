"""H6: a holder of the ring that changes the sets of others, or asks again and again.

Canaries alone miss two swapped entries of 300 nearly always: without the proofs the
attack succeeds and two entities get each other's data. With them it is named.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Self

import numpy as np
import pytest

from tests.attacks.conftest import Tell
from tests.protocol.conduct import conduct
from tests.protocol.test_alignment import (
    COORDINATOR,
    HOLDERS,
    SETS,
    aligned,
    contract,
)
from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.hops import HopProofs
from veilscore.fault import Fault
from veilscore.keys import dleq, linkage, ristretto
from veilscore.keys.linkage import BlindingKey
from veilscore.keys.ristretto import POINT
from veilscore.models.vertical.script import Script, Send
from veilscore.node.training.alignment import Alignment, align
from veilscore.v1.training_pb2 import HopClaim

CHEAT = "regulator"  # raises the bureau's set as the last, the bank's as the second
Change = Callable[["Cheat", bytes], bytes]


class Cheat(BlindingKey):
    """The key of a hop that does not do what it says."""

    change: Change

    @classmethod
    def with_change(cls, change: Change) -> Self:
        cheat = cls(ristretto.random_scalar())
        cheat.change = change
        return cheat

    def blind(self, points: bytes, party: str, *, threads: int = 1) -> bytes:
        raised = super().blind(points, party, threads=threads)
        return raised if party == CHEAT else self.change(self, raised)


class Forger(Cheat):
    """One that also claims the combination that its neighbours will find."""

    def claim(
        self, owner: str, hops: int, before: bytes, after: bytes, *, threads: int = 1
    ) -> HopClaim:
        claim = super().claim(owner, hops, before, after, threads=threads)
        claim.composite_after = linkage.statement(claim).composite(after, owner)
        claim.proof = dleq.prove(
            self._scalar, claim.key, claim.composite_before, claim.composite_after
        )
        return claim


def swap(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    first, second = sorted(secrets.SystemRandom().sample(range(len(raised) // 32), 2))
    entries = [raised[at : at + POINT] for at in range(0, len(raised), POINT)]
    entries[first], entries[second] = entries[second], entries[first]
    return b"".join(entries)


def replace(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return ristretto.random_point() + raised[POINT:]


def other_key(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return (
        BlindingKey(ristretto.random_scalar()).blind(raised[:POINT], CHEAT)
        + raised[POINT:]
    )


def second_key(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return BlindingKey(ristretto.random_scalar()).blind(raised, CHEAT)


def identity(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return bytes(POINT) + raised[POINT:]


def twice(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return raised[POINT : 2 * POINT] + raised[POINT:]


def shorter(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return raised[POINT:]


CHANGES: dict[str, Change] = {
    "two entries swapped": swap,
    "one replaced": replace,
    "one raised by another key": other_key,
    "all raised by another key": second_key,
    "the identity put in": identity,
    "one entry twice": twice,
    "one left out": shorter,
}


def run(
    keys: Iterator[BlindingKey], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Alignment]:
    """Align with these keys, in the order of the holders' names."""
    monkeypatch.setattr(BlindingKey, "fresh", lambda: next(keys))
    found: dict[str, Alignment] = {}

    def keep(name: str) -> Script:
        marks = np.full(len(SETS[name]), name == "bank")
        found[name] = yield from align(
            name, HOLDERS, COORDINATOR, "r1", SETS[name], marks
        )

    scripts = {name: keep(name) for name in HOLDERS}
    conduct(scripts | {COORDINATOR: place_rows(contract(), HOLDERS)})
    return found


def keys_with(cheat: BlindingKey) -> Iterator[BlindingKey]:
    made = {name: BlindingKey(ristretto.random_scalar()) for name in HOLDERS}
    return iter((made | {CHEAT: cheat}).values())


@pytest.mark.parametrize("kind", [Cheat, Forger])
@pytest.mark.parametrize("name", CHANGES)
def test_a_hop_that_changes_a_set_is_named(
    kind: type[Cheat], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheat = kind.with_change(CHANGES[name])
    with pytest.raises(Fault) as caught:
        run(keys_with(cheat), monkeypatch)
    assert CHEAT in caught.value.party


def wrong_attachments(found: dict[str, Alignment]) -> int:
    entity: dict[int, str] = {}
    wrong = 0
    for name in HOLDERS:
        for own, place in zip(SETS[name], found[name].positions.tolist(), strict=True):
            if place >= 0:
                wrong += entity.setdefault(place, own) != own
    return wrong


def test_without_the_proofs_entities_get_each_others_data(
    monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    def believe(proofs: HopProofs, finals: Mapping[str, bytes]) -> None:
        del proofs, finals

    monkeypatch.setattr(HopProofs, "verify", believe)
    # Canaries notice a swap that hits one of theirs: about every third, of such sets.
    for _ in range(20):
        try:
            found = run(keys_with(Cheat.with_change(swap)), monkeypatch)
        except RunError:
            continue
        if wrong := wrong_attachments(found):
            tell("H6 rows of another entity, were hops not proven", wrong, 0)
            return
    pytest.fail("no swap went through")


def test_a_holder_with_a_second_key_for_its_own_set_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Twofold(BlindingKey):
        def blind(self, points: bytes, party: str, *, threads: int = 1) -> bytes:
            key = BlindingKey(ristretto.random_scalar()) if party == CHEAT else self
            return BlindingKey.blind(key, points, party, threads=threads)

    with pytest.raises(RunError, match="not raised by the same keys"):
        run(keys_with(Twofold(ristretto.random_scalar())), monkeypatch)


def test_a_witness_that_lies_is_named_with_the_one_it_accuses() -> None:
    """The regulator denies what it sent on: the next holder is not convicted alone."""

    def lie(script: Script) -> Script:
        action = next(script)
        while True:
            if isinstance(action, Send) and action.message.HasField("hop_checks"):
                for check in action.message.hop_checks.checks:
                    check.composite = ristretto.random_point()
            try:
                action = script.send((yield action))
            except StopIteration:
                return

    def honest(name: str) -> Script:
        marks = np.full(len(SETS[name]), name == "bank")
        yield from align(name, HOLDERS, COORDINATOR, "r1", SETS[name], marks)

    scripts = {name: honest(name) for name in HOLDERS}
    scripts[CHEAT] = lie(scripts[CHEAT])
    scripts[COORDINATOR] = place_rows(contract(), HOLDERS)
    with pytest.raises(RunError, match="disagree") as caught:
        conduct(scripts)
    assert CHEAT in caught.value.party


def published(bank: list[str]) -> dict[str, object]:
    """Return every number that somebody but the bank sees of its set."""
    _, transcript = aligned(SETS | {"bank": bank}, set(SETS["bank"][:60]), contract())
    sizes: dict[str, object] = {}
    for sender, to, message in transcript:
        kind = message.WhichOneof("body")
        sizes[f"{sender} {to} {kind} {len(sizes)}"] = (
            len(message.SerializeToString())
            if kind != "positions"
            else (len(message.positions.positions), message.positions.rows)
        )
    return sizes


def test_one_id_more_changes_no_number_that_anybody_sees() -> None:
    """150 ids and 64 canaries are padded to 214; 260 in all show as 252."""
    known, strange = SETS["bank"][:-1], "X:90000"
    assert published([*known, strange]) == published([*known, SETS["agriculture"][0]])


def test_dummies_and_canaries_never_become_rows() -> None:
    found, _ = aligned(SETS, set(SETS["bank"]), contract(cover=-1))
    taken = [place for each in found.values() for place in each.positions if place >= 0]
    assert set(taken) == set(range(found["bank"].rows))
