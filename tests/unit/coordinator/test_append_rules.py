"""Which events a party may hand in for the log."""

import pytest

from tests.unit.tlog.sample_log import NOW_MS, Parties
from veilscore.coordinator.append_rules import check_append
from veilscore.coordinator.errors import AppendError
from veilscore.keys.tlog.events import ActorHead, Detail
from veilscore.v1.audit_pb2 import (
    PartyJoined,
    PrivacySpent,
    RegistryPublished,
    RunClosed,
    RunOpened,
    StepDone,
    SumMade,
)


def handed_in(parties: Parties, detail: Detail) -> None:
    event = parties.event("bank", ActorHead(), detail, correlation="ab", time_ms=NOW_MS)
    check_append("bank", [event.leaf], NOW_MS)


@pytest.mark.parametrize(
    "detail",
    [PartyJoined(), RunOpened(), RunClosed(), RegistryPublished(), SumMade(round=1)],
    ids=lambda detail: type(detail).__name__,
)
def test_what_only_the_coordinator_can_know_no_party_says(
    parties: Parties, detail: Detail
) -> None:
    with pytest.raises(AppendError, match="is for the coordinator to say"):
        handed_in(parties, detail)


@pytest.mark.parametrize(
    "detail",
    [StepDone(step="bins", sums=bytes(32)), PrivacySpent(epsilon=2.9, delta=1e-5)],
    ids=lambda detail: type(detail).__name__,
)
def test_what_a_node_has_done_it_says_itself(parties: Parties, detail: Detail) -> None:
    handed_in(parties, detail)
