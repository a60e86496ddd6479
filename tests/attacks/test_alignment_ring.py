"""H6: a holder of the ring that changes the sets of others, or asks again and again.

Canaries alone miss two swapped entries of 300 nearly always: without the proofs the
attack succeeds and two entities get each other's data. With them it is named.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pytest

from tests.conftest import Tell
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
from veilscore.fault import Fault
from veilscore.keys import dleq, ristretto, small_exponents
from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import BlindingKey
from veilscore.keys.ristretto import POINT
from veilscore.models.script import Script, Send, receive
from veilscore.models.vertical.ring import Ring
from veilscore.node.training.alignment import Alignment, align
from veilscore.v1.training_pb2 import (
    HopChallenge,
    HopProof,
    HopSums,
    TrainingMessage,
)

CHEAT = "regulator"  # raises the bureau's set as the last, the bank's as the second
Change = Callable[["Cheat", bytes], bytes]


class Cheat(BlindingKey):
    """The key of a hop that does not do what it says."""

    change: Change
    holder: str

    @classmethod
    def with_change(cls, change: Change, holder: str = CHEAT) -> Self:
        cheat = cls(ristretto.random_scalar())
        cheat.change, cheat.holder = change, holder
        return cheat

    def blind(self, points: bytes, party: str, *, threads: int = 1) -> bytes:
        raised = super().blind(points, party, threads=threads)
        return raised if party == self.holder else self.change(self, raised)

    def forge(self, before: Sequence[bytes], after: Sequence[bytes]) -> bytes:
        """Return the proof that its key leads from one to the other, true or not."""
        return dleq.prove(self._scalar, before, after)


@dataclass
class Overheard:
    """What a cheat passed on, by owner, and what it is asked about it."""

    passed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    challenge: bytes = b""


def retelling(
    script: Script, retell: Callable[[HopProof, Overheard], object]
) -> Script:
    """Run a holder's script, but change what it says of its hops."""
    heard = Overheard()
    action = next(script)
    while True:
        if isinstance(action, Send) and action.message.HasField("blinded_set"):
            blinded = action.message.blinded_set
            heard.passed[blinded.owner] = blinded.points
        if isinstance(action, Send) and action.message.HasField("hop_proof"):
            retell(action.message.hop_proof, heard)
        arrived = yield action
        for message in arrived.values() if arrived else ():
            if message.HasField("hop_challenge"):
                heard.challenge = message.hop_challenge.challenge
        try:
            action = script.send(arrived)
        except StopIteration:
            return


def forging(cheat: Cheat) -> Callable[[HopProof, Overheard], None]:
    """Claim the sums that those after it will find, and prove what it can."""

    def retell(proof: HopProof, heard: Overheard) -> None:
        own, *others = proof.sums
        for sums in (own, *others):
            points = heard.passed[sums.owner]
            sums.passed[:] = small_exponents.sums(
                [points], heard.challenge, sums.owner, CHEAT
            )
        proof.proof = cheat.forge(
            [point for sums in others for point in sums.taken],
            [point for sums in others for point in sums.passed],
        )

    return retell


def sums_of(owner: str, proof: HopProof) -> HopSums:
    return next(sums for sums in proof.sums if sums.owner == owner)


def unchanged(cheat: Cheat, raised: bytes) -> bytes:
    del cheat
    return raised


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


def holder(name: str, found: dict[str, Alignment]) -> Script:
    marks = np.full(len(SETS[name]), name == "bank")
    found[name] = yield from align(name, HOLDERS, COORDINATOR, "r1", SETS[name], marks)


def run(
    cheats: Mapping[str, BlindingKey],
    monkeypatch: pytest.MonkeyPatch,
    **retell: Callable[[HopProof, Overheard], object],
) -> dict[str, Alignment]:
    """Align with these keys at some; ``retell`` says who lies about its hops."""
    honest = {name: BlindingKey(ristretto.random_scalar()) for name in HOLDERS}
    keys = iter([cheats.get(name, honest[name]) for name in HOLDERS])
    monkeypatch.setattr(BlindingKey, "fresh", lambda: next(keys))
    found: dict[str, Alignment] = {}
    scripts = {name: holder(name, found) for name in HOLDERS}
    for name, lie in retell.items():
        scripts[name] = retelling(scripts[name], lie)
    conduct(scripts | {COORDINATOR: place_rows(contract(), HOLDERS)})
    return found


def blamed(change: Change, claim: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return whom a run with a cheat names; "" if it goes through."""
    cheat = Cheat.with_change(change)
    retell = {CHEAT: forging(cheat)} if claim == "forged" else {}
    try:
        run({CHEAT: cheat}, monkeypatch, **retell)
    except Fault as fault:
        return fault.party
    return ""


@pytest.mark.parametrize("claim", ["honest", "forged"])
def test_a_hop_that_changes_a_set_is_named(
    claim: str, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    found = {name: blamed(each, claim, monkeypatch) for name, each in CHANGES.items()}
    through = [name for name, party in found.items() if not party]
    told = f"{len(through)} of {len(CHANGES)}"
    tell(f"H6 changed sets that go through, {claim} proofs", told, 0)
    assert through == []
    assert all(CHEAT in party for party in found.values()), found


def test_the_last_hop_cannot_cover_for_the_one_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bank swaps entries of agriculture's set; the regulator says what fits both.

    Its word on what it took agrees with the bank's, on what it passed on with what the
    coordinator finds: no key leads from one to the other.
    """
    swaps = iter([swap])

    def swap_first(cheat: Cheat, raised: bytes) -> bytes:
        return next(swaps, unchanged)(cheat, raised)

    bank = Cheat.with_change(swap_first, "bank")
    regulator = Cheat.with_change(unchanged)
    claimed: list[bytes] = []

    def listen(proof: HopProof, _: Overheard) -> None:
        claimed[:] = sums_of("agriculture", proof).passed

    def cover(proof: HopProof, heard: Overheard) -> None:
        sums_of("agriculture", proof).taken[:] = claimed
        forging(regulator)(proof, heard)

    with pytest.raises(LinkageError, match="does not hold") as caught:
        run({"bank": bank, CHEAT: regulator}, monkeypatch, bank=listen, regulator=cover)
    assert caught.value.party == CHEAT
    assert next(swaps, None) is None


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
    def believe(ring: Ring, finals: Mapping[str, Sequence[bytes]]) -> Script:
        """Ask for the proofs, and do not look at them."""
        del finals
        yield from receive("hop_key", ring.holders)
        for name in ring.holders:
            drawn = HopChallenge(challenge=bytes(small_exponents.CHALLENGE))
            yield Send(name, TrainingMessage(hop_challenge=drawn))
        yield from receive("hop_proof", ring.holders)

    monkeypatch.setattr("veilscore.coordinator.alignment.check_hops", believe)
    # Canaries notice a swap that hits one of theirs: about every third, of such sets.
    for _ in range(20):
        try:
            found = run({CHEAT: Cheat.with_change(swap)}, monkeypatch)
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
        run({CHEAT: Twofold(ristretto.random_scalar())}, monkeypatch)


def test_a_witness_that_lies_is_named_with_the_one_it_accuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The regulator denies what it sent on: the next holder is not convicted alone."""

    def deny(proof: HopProof, _: Overheard) -> None:
        sums = sums_of("bank", proof)
        sums.passed[:] = [ristretto.random_point() for _ in sums.passed]

    with pytest.raises(RunError, match="disagree") as caught:
        run({}, monkeypatch, regulator=deny)
    assert CHEAT in caught.value.party


SILENCES: dict[str, Callable[[HopProof], object]] = {
    "no set": lambda proof: proof.ClearField("sums"),
    "its own left out": lambda proof: proof.sums.pop(0),
    "one set for another": lambda proof: proof.sums.reverse(),
    "one sum too few": lambda proof: proof.sums[-1].passed.pop(),
    "sums of its own as taken": lambda proof: proof.sums[0].taken.extend(
        proof.sums[0].passed
    ),
}


@pytest.mark.parametrize("silence", SILENCES)
def test_every_set_is_accounted_for(
    silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="does not account for every set") as caught:
        run({}, monkeypatch, regulator=lambda proof, _: SILENCES[silence](proof))
    assert caught.value.party == CHEAT


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
