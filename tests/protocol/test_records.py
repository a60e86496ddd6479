"""Records of a federation: shown, found, erased; consents registered, withdrawn."""

from collections.abc import Callable, Generator
from pathlib import Path
from threading import Thread

import pytest

from tests.protocol.joint_scores import NAMES, all_holders, ask
from tests.protocol.score_world import SETTINGS, People, World, changed
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.tlog.evidence.opening import OpeningFile
from veilscore.node.errors import (
    ConsentError,
    HolderRefusedError,
    NoOpeningError,
    UnknownConsentError,
)
from veilscore.node.scoring.refusals import Reason
from veilscore.node.scoring.requester import JointRequest
from veilscore.v1.opening_pb2 import CommittedEntity

REFERENCE = "contract 17"  # what ``ask`` asks under
DAY = 86_400


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with all_holders(tmp_path, people) as running:
        yield running


def requests(hub: World) -> list[str]:
    found = hub.events(actor="bank")
    return [each.event.correlation for each in found if each.kind == "score_requested"]


def erasures(hub: World, party: str) -> list[tuple[str, int]]:
    found = [each for each in hub.events(actor=party) if each.kind == "erased"]
    told = [each.event.erased for each in found]
    return [(each.reason, each.openings_bucket) for each in told]


def register(hub: World, *names: str, purpose: str = "pre_loan", days: int = 1) -> None:
    for name in names:
        until = int(hub.now) + days * DAY
        hub.nodes["bank"].records.register(
            REFERENCE, name, [purpose], until, b"a signed form"
        )


def test_who_asked_is_told_at_the_requester_and_at_each_data_holder(
    hub: World,
) -> None:
    ask(hub, NAMES[:3])
    hub.now += 60
    ask(hub, NAMES[2:4])
    first, second = requests(hub)
    for party in ("bank", "bureau", "market"):
        told = hub.nodes[party].records.asked_about(NAMES[2])
        assert [each.request for each in told] == [first, second]
        assert {each.requester for each in told} == {"bank"}
        assert {each.purpose for each in told} == {"pre_loan"}
        assert {each.consent for each in told} == {REFERENCE}
        assert {each.decision for each in told} == {"answered"}
        assert told[1].time - told[0].time == 60
        assert len(hub.nodes[party].records.asked_about(NAMES[0])) == 1
        assert hub.nodes[party].records.asked_about(NAMES[9]) == []


def test_a_refused_request_is_told_with_its_reason(hub: World) -> None:
    with pytest.raises(HolderRefusedError) as caught:
        hub.nodes["bank"].desk.ask(NAMES[:1], purpose="audit", consent=REFERENCE)
    assert caught.value.reason == Reason.PURPOSE_NOT_ALLOWED
    (told,) = hub.nodes["bank"].records.asked_about(NAMES[0])
    assert told.decision == f"holder-{Reason.PURPOSE_NOT_ALLOWED}"


def test_an_auditor_is_shown_one_entity_by_both_sides(hub: World) -> None:
    ask(hub, NAMES[:3])
    (request,) = requests(hub)
    events = {
        each.event.actor: each.event
        for each in hub.events(correlation=request)
        if each.kind in {"score_requested", "score_decided"}
    }
    for party, event in events.items():
        data = hub.nodes[party].records.disclose(request, NAMES[1])
        file, key = OpeningFile.read(data)
        assert key == hub.people.registry.party(party).key
        told = (
            event.score_requested
            if event.HasField("score_requested")
            else event.score_decided
        )
        file.terms.check(told.terms)
        (shown,) = file.entities
        shown.check(3, told.entities)
        entity = CommittedEntity.FromString(shown.opening.data)
        assert entity.entity == NAMES[1]
        for other in (NAMES[0], NAMES[2]):
            assert other.encode().hex().encode() not in data
    with pytest.raises(NoOpeningError):
        hub.nodes["bank"].records.disclose(request, NAMES[7])
    with pytest.raises(NoOpeningError):
        hub.nodes["bank"].records.disclose("ab" * 32)


def test_an_erased_entity_is_gone_and_the_others_stay(hub: World) -> None:
    ask(hub, NAMES[:3])
    ask(hub, NAMES[:1])
    both, alone = requests(hub)
    before = [each.leaf for each in hub.log_events()]
    records = hub.nodes["bank"].records
    assert records.erase(entity=NAMES[0]) == 2
    assert records.asked_about(NAMES[0]) == []
    with pytest.raises(NoOpeningError):
        records.disclose(both, NAMES[0])
    with pytest.raises(NoOpeningError):
        records.disclose(alone)  # it was about nobody else
    assert len(records.asked_about(NAMES[1])) == 1
    records.disclose(both, NAMES[1])
    assert erasures(hub, "bank") == [("entity", 2)]
    # What the log held it holds, and the data holders have their own.
    assert [each.leaf for each in hub.log_events()][: len(before)] == before
    assert len(hub.nodes["bureau"].records.asked_about(NAMES[0])) == 2
    assert records.erase(entity=NAMES[0]) == 0
    assert len(erasures(hub, "bank")) == 1


def test_a_request_is_erased_whole(hub: World) -> None:
    ask(hub, NAMES[:3])
    ask(hub, NAMES[:3])
    first, second = requests(hub)
    records = hub.nodes["bureau"].records
    assert records.erase(request=first) == 3
    assert [each.request for each in records.asked_about(NAMES[0])] == [second]
    assert erasures(hub, "bureau") == [("request", 4)]
    with pytest.raises(NoOpeningError):
        records.erase(request=first)


def test_what_is_too_old_is_erased_once_a_day(hub: World) -> None:
    """Clocks of the federation stand still: only the eraser hears of later days."""
    ask(hub, NAMES[:3])
    register(hub, NAMES[0], days=1)
    node, begin = hub.nodes["bank"], hub.now
    keep = node.records.eraser.keep_retention
    keep(begin + 1826 * DAY)
    assert erasures(hub, "bank") == []
    keep(begin + 1827 * DAY - 1)
    assert len(node.records.asked_about(NAMES[0])) == 1
    keep(begin + 1827 * DAY + 1)
    assert erasures(hub, "bank") == [("retention", 4)]
    assert node.records.asked_about(NAMES[0]) == []
    assert len(node.records.registered()) == 1
    keep(begin + 1828 * DAY)  # not a day after the last look
    assert len(node.records.registered()) == 1
    keep(begin + 1828 * DAY + 1)
    assert node.records.registered() == []
    assert erasures(hub, "bank") == [("retention", 4), ("retention", 1)]


@pytest.mark.parametrize("what", ["a request", "a consent"])
@pytest.mark.parametrize("where", ["unused", "take"])
def test_what_is_being_written_is_not_erased(
    hub: World, monkeypatch: pytest.MonkeyPatch, where: str, what: str
) -> None:
    """Its keys were made before that day: they lay in stock.

    Whoever comes between is let run as far as it can.
    """
    bank = hub.nodes["bank"]
    hub.now += 60
    shredder, began = bank.openings.shredder, hub.now - 30
    others: list[Thread] = []

    def erase() -> None:
        assert bank.records.erase(before=began) == 0

    def write() -> None:
        if what == "a request":
            ask(hub, NAMES[:1])
        else:
            register(hub, NAMES[0])

    first, second = (erase, write) if where == "unused" else (write, erase)
    original = getattr(shredder, where)

    def interrupted(*arguments: object) -> object:
        taken = where == "take" and original(*arguments)
        if not others:
            others.append(Thread(target=second))
            others[0].start()
            others[0].join(1)
        return taken or original(*arguments)

    monkeypatch.setattr(shredder, where, interrupted)
    first()
    (other,) = others
    other.join()
    if what == "a request":
        bank.records.disclose(requests(hub)[0], NAMES[0])
    else:
        assert [each.entity for each in bank.records.registered()] == NAMES[:1]


def test_what_a_crash_left_to_be_erased_is_erased(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(hub, NAMES[:3])
    node = hub.nodes["bank"]

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(node.openings, "forget", crash)
        with pytest.raises(KeyboardInterrupt):
            node.records.erase(request=requests(hub)[0])
    node.stop()
    node.start()
    assert erasures(hub, "bank") == []
    node.records.eraser.finish()
    assert erasures(hub, "bank") == [("request", 4)]
    with pytest.raises(NoOpeningError):
        node.records.disclose(requests(hub)[0])


def test_a_request_names_the_event_that_registered_its_consent(hub: World) -> None:
    register(hub, *NAMES[:2])
    ask(hub, NAMES[:2])
    (request,) = requests(hub)
    file, _ = OpeningFile.read(hub.nodes["bank"].records.disclose(request, NAMES[1]))
    (consent,) = file.consents
    registered = consent.opened.event
    shown = CommittedEntity.FromString(file.entities[0].opening.data)
    assert registered.seq == shown.consent
    assert registered.consent_registered.purposes == ["pre_loan"]
    # A holder knows nothing of it.
    data = hub.nodes["bureau"].records.disclose(request, NAMES[1])
    assert OpeningFile.read(data)[0].consents == ()


def test_tags_of_one_consent_have_nothing_in_common(hub: World) -> None:
    register(hub, NAMES[0])
    register(hub, NAMES[0])
    hub.nodes["bank"].records.withdraw(REFERENCE, NAMES[0])
    events = hub.events(actor="bank")
    told = [each.event.consent_registered for each in events[:2]]
    gone = [each.event.consent_withdrawn for each in events[2:]]
    assert [each.registered for each in gone] == [each.event.seq for each in events[:2]]
    tags = [
        tag
        for consent, subject in (
            *((each.consent, each.subject) for each in told),
            *((each.consent, each.subject) for each in gone),
        )
        for tag in (consent, subject)
    ]
    assert len({*tags}) == 8
    assert {len(tag) for tag in tags} == {32}
    assert told[0].document != told[1].document
    assert not any(b"firm" in each.leaf or b"contract" in each.leaf for each in events)


def _withdraw(hub: World) -> None:
    hub.nodes["bank"].records.withdraw(REFERENCE, NAMES[0])


def _registered(hub: World) -> None:
    register(hub, NAMES[0])


def _withdrawn(hub: World) -> None:
    _registered(hub)
    _withdraw(hub)


def _expired(hub: World) -> None:
    register(hub, NAMES[0], days=-1)


REFUSED: dict[str, tuple[Callable[[World], None], list[str], str]] = {
    "withdrawn": (_withdrawn, NAMES[:1], "was withdrawn"),
    "expired": (_expired, NAMES[:1], "has expired"),
    "of another entity": (_registered, NAMES[:2], "is of another entity"),
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_a_consent_that_does_not_allow_it_stops_a_request_before_it_leaves(
    hub: World, flaw: str
) -> None:
    change, names, what = REFUSED[flaw]
    change(hub)
    sent: list[str] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        sent.append(f"{sender} to {recipient}")
        return [data]

    hub.wiretap = look
    with pytest.raises(ConsentError, match=what) as caught:
        ask(hub, names)
    assert caught.value.exit_code == 6
    assert caught.value.place == f"entity {len(names)}"
    assert "firm" not in str(caught.value)
    assert sent == []
    assert requests(hub) == []


def test_a_consent_for_another_purpose_stops_a_request(hub: World) -> None:
    register(hub, NAMES[0], purpose="in_loan")
    with pytest.raises(ConsentError, match="is for another purpose"):
        ask(hub, NAMES[:1])
    register(hub, NAMES[0])  # now one of them allows it
    assert len(ask(hub, NAMES[:1])) == 1


def test_a_node_may_insist_on_registered_consents(
    tmp_path: Path, people: People
) -> None:
    with all_holders(tmp_path, people) as hub:
        hub.nodes["bank"].stop()
        strict = changed(SETTINGS, registered_consents_only=True)
        hub.nodes["bank"].settings = strict
        hub.nodes["bank"].start()
        with pytest.raises(ConsentError, match="is not registered"):
            ask(hub, NAMES[:1])
        register(hub, NAMES[0])
        assert len(ask(hub, NAMES[:1])) == 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "after decryption"])
def test_a_consent_withdrawn_meanwhile_keeps_the_score_from_being_seen(
    hub: World,
    monkeypatch: pytest.MonkeyPatch,
    late: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    register(hub, NAMES[0])
    decrypted: list[int] = []
    honest = JointRequest.decrypted

    def decrypt(
        request: JointRequest, private: PrivateKey, workers: PaillierWorkers
    ) -> list[int]:
        found = honest(request, private, workers)
        decrypted.append(len(found))
        if late:
            _withdraw(hub)
        return found

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        if sender == "bureau" and not late:
            _withdraw(hub)
        del recipient
        return [data]

    monkeypatch.setattr(JointRequest, "decrypted", decrypt)
    hub.wiretap = look
    with pytest.raises(ConsentError, match="was withdrawn"):
        ask(hub, NAMES[:1])
    assert decrypted == ([1] if late else [])
    (told,) = hub.nodes["bank"].records.asked_about(NAMES[0])
    assert told.decision == "consent"
    kinds = [each.kind for each in hub.events(actor="bank")]
    assert kinds == ["consent_registered", "score_requested", "consent_withdrawn"]


def test_what_is_not_registered_cannot_be_withdrawn(hub: World) -> None:
    register(hub, NAMES[0])
    records = hub.nodes["bank"].records
    for reference, name in ((REFERENCE, NAMES[1]), ("contract 18", NAMES[0])):
        with pytest.raises(UnknownConsentError):
            records.withdraw(reference, name)
    assert records.withdraw(REFERENCE, NAMES[0]) == 1
    with pytest.raises(UnknownConsentError):
        records.withdraw(REFERENCE, NAMES[0])


def test_consents_are_listed_and_erased_with_their_entity(hub: World) -> None:
    register(hub, *NAMES[:2])
    records = hub.nodes["bank"].records
    assert [each.entity for each in records.registered()] == NAMES[:2]
    assert records.erase(entity=NAMES[0]) == 1
    assert [each.entity for each in records.registered()] == [NAMES[1]]
    assert erasures(hub, "bank") == [("entity", 1)]
    with pytest.raises(ConsentError):
        ask(hub, NAMES[:1])
