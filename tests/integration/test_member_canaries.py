"""The coordinator of a horizontal run learns no row, vector, sum or count of a member.

Ids, features, levels, every member's vectors and their sums are canaries. After a full
run (enrolment, training, scores, export) none of them is in any byte that the
coordinator received, stored, wrote or showed, and no message of a member says more than
the allow-list. Then a member writes a count into the label of its sums, a run's vector
is planted in what was recorded, and both are found.
"""

from collections.abc import Callable

import numpy as np
import pytest

from tests.attacks.canary_forms import Canary, CanaryWords
from tests.attacks.coordinator_messages import findings
from tests.attacks.leak_scanner import Leak, LeakScanner
from tests.attacks.received import MESSAGE, OPENED
from tests.integration.canary_evidence import PARTIES, Evidence, event_of
from tests.integration.canary_members import ROUNDS, STEPS, CanaryMembers
from tests.integration.recording_member import read_vectors
from veilscore.v1.audit_pb2 import SignedEvent
from veilscore.v1.training_pb2 import TrainingMessage

PUBLIC = "the run's id"
LEAST_SUMS = 2 + ROUNDS  # of bins at least one, of every round, the digest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> CanaryMembers:
    return CanaryMembers.create(tmp_path_factory.mktemp("members"))


@pytest.fixture(scope="module")
def clean(federation: CanaryMembers) -> Evidence:
    return federation.run()


@pytest.fixture(scope="module")
def scanner(federation: CanaryMembers, clean: Evidence) -> LeakScanner:
    return LeakScanner([*federation.secrets, Canary(PUBLIC, clean.run)])


def test_the_run_was_a_full_one(federation: CanaryMembers, clean: Evidence) -> None:
    scores = federation.scores
    assert scores is not None
    assert (scores.asked, scores.answered, scores.mismatches) == (30, 30, 0)
    assert federation.killed == 0
    asked = [request.target for request in clean.flower_requests()]
    assert asked.count("/v1/fleet/push-messages") == len(PARTIES) * len(STEPS)
    made = [
        event.sum_made
        for event in map(event_of, clean.leaves())
        if event.HasField("sum_made")
    ]
    assert len(made) >= LEAST_SUMS
    assert all(each.members == sorted(PARTIES) for each in made)
    vectors = list(read_vectors(federation.words))
    assert len(vectors) == 2 * len(PARTIES) * len(made)
    opened = [
        TrainingMessage.FromString(each.data).sum
        for each in clean.received
        if each.channel == OPENED
    ]
    assert sum(each.HasField("wanted") for each in opened) == len(PARTIES) * len(made)


def test_vectors_are_sought(federation: CanaryMembers, clean: Evidence) -> None:
    """Every member's vector of every round is among the secrets, and is no other's."""
    words = [each for each in federation.secrets if isinstance(each, CanaryWords)]
    sought = {each.what for each in words}
    for number in range(1, ROUNDS + 1):
        assert f"the sum {clean.run} round {number}" in sought
        theirs = {
            each.text
            for each in words
            if each.what.startswith("the vector of ")
            and each.what.endswith(f"{clean.run} round {number}")
        }
        assert len(theirs) >= len(PARTIES)


def test_no_canary_reaches_the_coordinator(
    federation: CanaryMembers,
    clean: Evidence,
    scanner: LeakScanner,
    record_property: Callable[[str, object], None],
) -> None:
    found = clean.leaks(scanner)
    assert any(leak.what == PUBLIC for leak in found)
    leaks = {leak for leak in found if leak.what != PUBLIC}
    record_property(
        "attack",
        f"leaks of {len(federation.secrets):,} ids, features and parts of vectors in "
        f"{clean.size:,} bytes at the coordinator of a horizontal run: {len(leaks)} "
        "(bound 0)",
    )
    assert leaks == set()


def test_no_member_says_more_than_the_list_allows(clean: Evidence) -> None:
    allowed = clean.allow_list()
    assert list(findings(clean.received, allowed)) == []
    for leaf in clean.leaves():
        assert list(allowed.decode(SignedEvent, leaf)) == []


def test_a_planted_vector_is_found(
    federation: CanaryMembers, clean: Evidence, scanner: LeakScanner
) -> None:
    """A vector in clear where the masked one is, as it is and with bytes turned."""
    what, vector = next(
        each
        for each in read_vectors(federation.words)
        if each[0] == f"the vector of bank for {clean.run} round 1"
    )
    turned = np.frombuffer(vector, "<u8").astype(">u8").tobytes()
    for planted, form in (
        (vector, "words little-endian"),
        (turned, "words big-endian"),
    ):
        found = scanner.scan(MESSAGE, b"masked: " + planted)
        assert Leak(MESSAGE, what, form) in found


def test_a_count_in_a_label_is_found(
    federation: CanaryMembers, clean: Evidence
) -> None:
    del clean  # its files are copied before they change
    # Members that want different sums: the coordinator cannot tell who is right.
    leaky = federation.run_with_leak(stopped_by="")
    said = set(findings(leaky.received, leaky.allow_list()))
    assert "veilscore.v1.SumWanted.label holds what it may not" in said
