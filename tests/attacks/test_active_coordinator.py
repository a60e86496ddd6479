"""H7: a coordinator that breaks the rules of sums in the midst of a horizontal run.

Director, sums, envelopes and sessions are the product's; a member works with the
coordinator and gives it the group's secret. Members end the run and keep evidence that
verifies, and from all that the coordinator then has no member's vector can be computed.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.region_hub import VICTIM, ActiveHub, signed, stolen
from tests.attacks.region_transcript import RegionTranscript
from tests.conftest import Tell
from tests.protocol.counties import HUB, registry, signer
from tests.protocol.region_run import NOW, RegionRun
from tests.unit.tlog.sample_log import own_word
from veilscore.fault import Fault
from veilscore.keys.aggregation.evidence import MisconductEvidence
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Kind, digest, read_words, write_words
from veilscore.keys.errors import Breach, MisconductError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.note import NoteKey
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.hub_pb2 import AppendResponse

Told = list[bytes]
Change = Callable[[ActiveHub, str, AggregationBody], None]
ROUND_2 = 6  # sums: four of bins, two rounds
PUPPET = Signer.generate()


def changing(kind: Kind, change: Change, number: int = 1) -> ActiveHub:
    """Return a hub that changes its messages of a kind in one sum."""

    def tell(hub: ActiveHub, party: str, body: AggregationBody, words: bytes) -> Told:
        if body.WhichOneof("content") == kind and body.round == number:
            told = AggregationBody()
            told.CopyFrom(body)
            change(hub, party, told)
            return [signed(told, words)]
        return [signed(body, words)]

    return ActiveHub(tell)


def entries(body: AggregationBody) -> dict[str, AggregationBody]:
    """Return what members said in a list of keys."""
    found = [
        AggregationBody.FromString(SignedAggregation.FromString(each).body)
        for each in body.key_list.entries
    ]
    return {each.sender: each for each in found}


def keys_swapped(_: ActiveHub, party: str, body: AggregationBody) -> None:
    """Show all but the victim keys of it that the coordinator has the secrets of."""
    if party == VICTIM:
        return
    own = Signer.generate().verify_key.raw
    changed = entries(body)[VICTIM]
    changed.keys.mask = changed.keys.channel = own
    place = list(entries(body)).index(VICTIM)
    body.key_list.entries[place] = signed(changed)


def survivors_split(_: ActiveHub, party: str, body: AggregationBody) -> None:
    """Tell some that the victim has dropped out."""
    if party in {"county-4", "county-5"}:
        body.survivors.members.remove(VICTIM)


def member_left_out(_: ActiveHub, party: str, body: AggregationBody) -> None:
    assert party
    del body.key_list.entries[list(entries(body)).index(VICTIM)]


def puppet_instead(_: ActiveHub, party: str, body: AggregationBody) -> None:
    """List keys of somebody whom no contract names where a member's stood."""
    assert party
    puppet = entries(body)[VICTIM]
    puppet.sender = "county-9"
    place = list(entries(body)).index(VICTIM)
    body.key_list.entries[place] = signed(puppet, by=PUPPET)


def old_keys(hub: ActiveHub, party: str, body: AggregationBody) -> None:
    """List the keys that members sent for the sum before."""
    assert party
    del body.key_list.entries[:]
    body.key_list.entries.extend(hub.said[body.round - 1, "key_list"].key_list.entries)


def both_kinds(hub: ActiveHub, party: str, body: AggregationBody, words: bytes) -> Told:
    """Ask for shares again, with other members' agreement, once they have come."""
    assert party
    if not body.HasField("total"):
        return [signed(body, words)]
    other = AggregationBody()
    other.CopyFrom(hub.said[body.round, "agreement_list"])
    del other.agreement_list.entries[0]
    return [signed(other), signed(body, words)]


def another_sum(_: ActiveHub, party: str, body: AggregationBody, words: bytes) -> Told:
    """Show one member a sum of the first round that is off by the smallest unit."""
    told = AggregationBody()
    told.CopyFrom(body)
    if body.HasField("total") and body.round == ROUND_2 - 1 and party == VICTIM:
        vector = read_words(words).copy()
        vector[-1] += 1
        words = write_words(vector)
        told.total.words = digest(words)
    return [signed(told, words)]


@pytest.mark.parametrize(
    ("members", "hub", "breach"),
    [
        (3, lambda: changing(Kind.KEY_LIST, keys_swapped), Breach.KEY_SWAP),
        (6, lambda: changing(Kind.SURVIVORS, survivors_split), Breach.SURVIVOR_SPLIT),
        (6, lambda: ActiveHub(both_kinds), Breach.BOTH_SHARES),
        (3, lambda: ActiveHub(another_sum), Breach.SUM_SPLIT),
        (
            3,
            lambda: changing(Kind.KEY_LIST, member_left_out, ROUND_2),
            Breach.MISSING_KEY,
        ),
        (3, lambda: changing(Kind.KEY_LIST, puppet_instead, ROUND_2), Breach.BAD_LIST),
        (3, lambda: changing(Kind.KEY_LIST, old_keys, ROUND_2), Breach.KEY_REPLAY),
    ],
    ids=["keys", "survivors", "shares", "sums", "left-out", "puppet", "replay"],
)
def test_a_coordinator_that_breaks_the_rules_is_convicted_and_gets_no_vector(
    members: int,
    hub: Callable[[], ActiveHub],
    breach: Breach,
    tmp_path: Path,
    tell: Tell,
) -> None:
    active, run = hub(), RegionRun(tmp_path / "hub", members=members)
    with active.leads(), pytest.raises(Fault):
        run.play()
    convicted = convictions(run, breach)
    assert convicted
    for party, error in convicted.items():
        shown = kept(party, error, run, tmp_path)
        assert (shown.breach, shown.accused, shown.finder) == (breach, HUB, party)
        assert any(each.sender == HUB for each in shown.statements)
    found = stolen(run, active)
    tell(
        f"{breach}: vectors computed, {len(convicted)} of {members} convict",
        len(found),
        0,
    )
    assert found == set()
    assert all(each.finished is None for each in run.sessions.values())


def test_no_share_leaves_for_counts_of_bins_without_a_member(
    tmp_path: Path, tell: Tell
) -> None:
    """With it and without it, counts of the same rows would show its own."""

    def dropped(_: ActiveHub, party: str, body: AggregationBody) -> None:
        assert party
        body.survivors.members.remove(VICTIM)

    hub = changing(Kind.SURVIVORS, dropped, ROUND_2 - 4)  # the second sum of bins
    run = RegionRun(tmp_path / "hub", members=6)
    with hub.leads(), pytest.raises(Fault):
        run.play()
    check_convicted(run, Breach.SURVIVOR_SPLIT, tmp_path)
    said = RegionTranscript(run).said
    kinds = {(each.body.round, each.kind) for each in said}
    assert {(1, Kind.REVEALED), (2, Kind.MASKED)} <= kinds
    left = [each for each in said if (each.body.round, each.kind) == (2, "revealed")]
    tell("members that reveal shares for partial counts of bins", len(left), 0)
    assert not left


def without_the_victim(_: ActiveHub, party: str, body: AggregationBody) -> None:
    """Say in the second attempt that the victim has dropped out."""
    assert party
    if body.attempt == 2:
        body.survivors.members.remove(VICTIM)


def test_a_second_attempt_without_a_member_would_show_its_vector_and_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    hub, run = twice(), RegionRun(tmp_path / "hub", members=6)
    with hub.leads(), pytest.raises(Fault):
        run.play()
    check_convicted(run, Breach.BOTH_SHARES, tmp_path)
    found = stolen(run, hub)
    tell("second attempt: vectors computed", len(found), 0)
    assert found == set()

    # Of members that do not remember what shares have left for, the attack works.
    monkeypatch.setattr(RoundHistory, "release", forget)
    hub, run = twice(), RegionRun(tmp_path / "careless", members=6)
    with hub.leads(), pytest.raises(Fault):
        run.play()
    found = stolen(run, hub)
    assert {party for party, _ in found} == {VICTIM}


def forget(history: RoundHistory, terms: Terms, survivors: frozenset[str]) -> None:
    """Remember nothing of what shares leave for."""
    del history, terms, survivors


def twice() -> ActiveHub:
    """Return a hub that has a round's sum made twice, the second time of fewer."""
    hub = changing(Kind.SURVIVORS, without_the_victim, ROUND_2 - 1)
    hub.again = ROUND_2 - 1
    return hub


def test_the_list_of_the_sum_before_is_not_heard(tmp_path: Path) -> None:
    def tell(hub: ActiveHub, party: str, body: AggregationBody, words: bytes) -> Told:
        assert party
        kind = body.WhichOneof("content") or ""
        before = hub.said.get((body.round - 1, kind))
        again = [signed(before)] if before and not words else []
        return [*again, signed(body, words)]

    hub, run = ActiveHub(tell), RegionRun(tmp_path)
    with hub.leads():
        run.play()
    run.check_sums()
    assert run.failed == {}
    assert stolen(run, hub) == set()


def convictions(run: RegionRun, breach: Breach) -> dict[str, MisconductError]:
    """Return who convicts the coordinator; all others heard that the run is over."""
    found = {
        party: error
        for party, error in run.failed.items()
        if isinstance(error, MisconductError)
    }
    assert {(error.breach, error.party) for error in found.values()} <= {(breach, HUB)}
    for party, error in run.failed.items():
        assert party in found or isinstance(error, Fault)
    return found


def check_convicted(run: RegionRun, breach: Breach, folder: Path) -> None:
    """Check that members convict the coordinator, each by evidence that verifies."""
    convicted = convictions(run, breach)
    assert convicted
    for party, error in convicted.items():
        assert kept(party, error, run, folder).accused == HUB


def kept(
    party: str, error: MisconductError, run: RegionRun, folder: Path
) -> MisconductEvidence:
    """Return what a node's evidence of it shows to whoever reads the file."""
    own, folder = signer(party), folder / party
    folder.mkdir()
    chain = ActorChain(Database(folder / "events.sqlite"), own, party)
    policy = own_word(NoteKey("hub.example/log", signer(HUB).verify_key))
    incidents = Incidents(
        folder / "incidents",
        party,
        own,
        chain,
        Receipts(chain, lambda _: AppendResponse(), policy, lambda: NOW),
        lambda: NOW,
    )
    body = run.contract.SerializeToString(deterministic=True)
    about = hashlib.sha256(body).digest()
    assert incidents.misconduct(error, run.contract, about, registry(run.members))
    (file,) = (folder / "incidents").iterdir()
    shown = MisconductEvidence.load(file.read_bytes())
    assert shown.terms.contract == about
    assert shown.terms.names == tuple(run.names)
    return shown
