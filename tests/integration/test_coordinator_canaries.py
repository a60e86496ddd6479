"""The coordinator never learns an id, feature, label, score, point (README.md).

Ids, features, the names of columns and a consent are canaries. After a full run
(enrolment, alignment, default training, scores, export) none of them is in any byte
that the coordinator received, stored, wrote or showed, in any spelling, and no message
of a party says more than the allow-list. Then leaks are planted in what was recorded,
and a node leaks in a run of its own: all must be found.
"""

from collections.abc import Callable

import pytest

from tests.attacks.canary_forms import Canary, CanaryId, CanaryNumber
from tests.attacks.coordinator_messages import findings
from tests.attacks.field_rules import AllowList
from tests.attacks.leak_scanner import Leak, LeakScanner
from tests.attacks.received import CALL, FLOWER, MESSAGE, OPENED, WEB, Received
from tests.integration.canary_evidence import PARTIES, STEPS, Evidence, event_of
from tests.integration.canary_federation import CanaryFederation
from tests.integration.planted_leaks import Planter
from veilscore.v1.audit_pb2 import Event, SignedEvent
from veilscore.v1.hub_pb2 import AppendRequest

PUBLIC = "the run's id"

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> CanaryFederation:
    return CanaryFederation.create(tmp_path_factory.mktemp("canaries"))


@pytest.fixture(scope="module")
def clean(federation: CanaryFederation) -> Evidence:
    return federation.run()


@pytest.fixture(scope="module")
def scanner(federation: CanaryFederation, clean: Evidence) -> LeakScanner:
    """Return what finds every secret, and the run's id, which is none."""
    return LeakScanner([*federation.secrets, Canary(PUBLIC, clean.run)])


@pytest.fixture(scope="module")
def found(clean: Evidence, scanner: LeakScanner) -> set[Leak]:
    return clean.leaks(scanner)


@pytest.fixture(scope="module")
def allowed(clean: Evidence) -> AllowList:
    return clean.allow_list()


@pytest.fixture(scope="module")
def leaky(federation: CanaryFederation, clean: Evidence) -> Evidence:
    del clean  # its files are copied before they change
    return federation.run_with_leak()


def test_the_run_was_a_full_one(federation: CanaryFederation, clean: Evidence) -> None:
    scores = federation.scores
    assert scores is not None
    assert (scores.asked, scores.answered, scores.mismatches) == (300, 300, 0)
    assert federation.rest_scores == 20
    assert federation.killed == 0
    kinds = {event_of(leaf).WhichOneof("detail") for leaf in clean.leaves()}
    every = {field.name for field in Event.DESCRIPTOR.oneofs[0].fields}
    # There is none among the honest, and no sum in a vertical run.
    assert kinds == every - {"incident", "sum_made", "privacy_spent"}


def test_nothing_else_listens(federation: CanaryFederation, clean: Evidence) -> None:
    """What is recorded are the only ways in."""
    assert clean.listening == federation.ports


def test_everything_was_searched(clean: Evidence, found: set[Leak]) -> None:
    """What is public is found wherever it must be."""
    places = {leak.where for leak in found if leak.what == PUBLIC}
    for beginning in (
        *(f"{MESSAGE} ", f"{WEB} ", f"{FLOWER} ", "envelope in "),
        *("running/state/log.db-wal", "running/state/log.db, table entry"),
        *("stopped/state/log.db", "stopped/state/flower/superlink.db, table run"),
        *("stopped/audit.tar", "stopped-coordinator.log"),
        *("web/events.json", f"web/v1-runs-{clean.run}"),
    ):
        assert any(place.startswith(beginning) for place in places), beginning


def test_everything_was_recorded(clean: Evidence) -> None:
    channels = [each.channel for each in clean.received]
    # A blinded set, claims and checks of hops, and marks.
    assert channels.count(OPENED) == 4 * len(PARTIES)
    appended = {
        leaf
        for each in clean.received
        if each.channel == MESSAGE and "/Append," in each.source
        for leaf in AppendRequest.FromString(each.data).leaves
    }
    assert appended == {
        leaf for leaf in clean.leaves() if event_of(leaf).actor in PARTIES
    }
    assert channels.count(CALL) > len(appended)
    asked = [request.target for request in clean.flower_requests()]
    assert asked.count("/v1/fleet/push-messages") == len(PARTIES) * len(STEPS)


def test_no_canary_reaches_the_coordinator(
    federation: CanaryFederation,
    clean: Evidence,
    found: set[Leak],
    record_property: Callable[[str, object], None],
) -> None:
    leaks = {leak for leak in found if leak.what != PUBLIC}
    record_property(
        "attack",
        f"leaks of {len(federation.secrets):,} ids, features and names in "
        f"{clean.size:,} bytes at the coordinator: {len(leaks)} (bound 0)",
    )
    assert leaks == set()


def test_no_party_says_more_than_the_list_allows(
    clean: Evidence, allowed: AllowList
) -> None:
    assert list(findings(clean.received, allowed)) == []
    for leaf in clean.leaves():
        assert list(allowed.decode(SignedEvent, leaf)) == []


@pytest.mark.parametrize(
    ("plant", "form", "finding"),
    [
        ("log_line", "text", ""),
        ("event_text", "text", "RunDecided.reason is not on the list"),
        ("report", "float64 big-endian", "StepReport.sent holds what it may not"),
        ("short_number", "", "StepReport.sent holds what it may not"),
        ("hashed", "sha256 of the typed id", ""),
        ("hashed_level", "sha256", ""),
        ("hashed_number", "sha256 of float64 little-endian", ""),
        ("compressed", "text", "an envelope that was never finished"),
        ("unlisted", "", "Chunk.from is not on the list"),
    ],
)
def test_a_planted_leak_is_found(
    plant: str,
    form: str,
    finding: str,
    clean: Evidence,
    federation: CanaryFederation,
    scanner: LeakScanner,
    allowed: AllowList,
) -> None:
    secrets = federation.secrets
    entity = next(each for each in secrets if isinstance(each, CanaryId))
    level = next(each for each in secrets if each.what.startswith("a level"))
    number = next(each for each in secrets if isinstance(each, CanaryNumber))
    assert isinstance(level, Canary)
    planted: Received = getattr(Planter(clean, entity, level, number), plant)()
    leaks = scanner.scan(planted.channel, planted.data)
    forms = {leak.form for leak in leaks if leak.what != PUBLIC}
    assert forms == ({form} if form else set())
    said = list(findings([planted], allowed))
    assert len(said) == bool(finding)
    assert all(finding in each for each in said)


def test_a_leaking_node_is_found(leaky: Evidence, scanner: LeakScanner) -> None:
    found = {leak for leak in leaky.leaks(scanner) if leak.what != PUBLIC}
    told = {leak.form for leak in found if leak.where.startswith(MESSAGE)}
    assert told == {"sha256 of the typed id, hex"}
    reported = {leak.form for leak in found if leak.where.startswith(FLOWER)}
    assert reported == {"text", "float64 little-endian"}
    written = {leak.where for leak in found if leak.form == "text"}
    assert {"web/v1-runs", "stopped-coordinator.log"} <= written
    said = set(findings(leaky.received, leaky.allow_list()))
    assert said == {
        "veilscore.v1.Notice.step holds what it may not",
        "veilscore.v1.StepReport has an unknown field 15",
        "flwr.proto.ConfigRecordValue.string holds what it may not",
        "flwr.proto.ConfigRecordValue.bool holds what it may not",
    }
