"""The simulation can fail: a fault that is planted in the product is found.

Each fault takes one guard away. The plans are the shortest that need the guard; without
the fault nothing is wrong with them.
"""

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tests.protocol.score_world import People
from tests.simulation.operations import Kind, Operation
from tests.simulation.playing import play
from veilscore.keys.errors import LogStoreError
from veilscore.keys.sealing import Opener
from veilscore.keys.tlog.chain import ActorChain
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.openings import Committed, Openings
from veilscore.node.scoring import holder
from veilscore.node.scoring.ledger import Ledger, ReceivedMarks
from veilscore.node.scoring.table import Table

Plant = Callable[[pytest.MonkeyPatch], None]

ASK: Final = Operation(Kind.ASK, how=1)
DELIVER: Final = Operation(Kind.DELIVER)
ALL: Final = [ASK, *[Operation(Kind.DELIVER, how=3)] * 2]
AGAIN: Final = Operation(Kind.REPLAY)  # the first envelope ever
RESENT: Final = [Operation(Kind.RESEND), DELIVER]
SKEWED: Final = [Operation(Kind.CLOCK, which=1), *ALL]  # the bureau, by 600 s


def nothing(*_: object, **__: object) -> None:
    return None


def no(*_: object, **__: object) -> bool:
    return False


def unproven(patch: pytest.MonkeyPatch) -> None:
    """Answers and scores are told without asking the log."""
    patch.setattr(Receipts, "prove", nothing)


def no_receipts(patch: pytest.MonkeyPatch) -> None:
    """The log has the events, and its proofs are not kept."""
    patch.setattr(ActorChain, "confirm", nothing)


def no_sequence(patch: pytest.MonkeyPatch) -> None:
    """Envelopes are opened as often as they come."""
    patch.setattr(Opener, "_check_sequence", nothing)


def no_nonces(patch: pytest.MonkeyPatch) -> None:
    """Queries are answered as often as they come in a new envelope."""
    patch.setattr(Ledger, "nonce_seen", no)
    patch.setattr(Ledger, "spend_nonce", nothing)
    commit = Openings.commit

    def again(openings: Openings, *args: object, **named: object) -> Committed:
        try:
            return commit(openings, *args, **named)  # type: ignore[arg-type] # as they came
        except LogStoreError:  # it keeps one opening of a query
            return Committed(bytes(32), bytes(32), bytes(32))

    patch.setattr(Openings, "commit", again)


def no_incidents(patch: pytest.MonkeyPatch) -> None:
    """What comes again is refused, and nobody says so."""
    patch.setattr(Incidents, "replayed", no)


def no_skew(patch: pytest.MonkeyPatch) -> None:
    """Queries of any age are answered."""
    patch.setattr(holder, "check_freshness", nothing)


def no_decisions(patch: pytest.MonkeyPatch) -> None:
    """An event of a kind is left out of the own chain."""
    extend = ActorChain.extend

    def fewer(
        chain: ActorChain, details: Sequence[object], correlation: str, now_ms: int
    ) -> list[bytes]:
        kept = [each for each in details if type(each).__name__ != "ScoreDecided"]
        return extend(chain, kept, correlation, now_ms)  # type: ignore[arg-type] # as it came

    patch.setattr(ActorChain, "extend", fewer)


def other_points(patch: pytest.MonkeyPatch) -> None:
    """A holder's table gives five points more."""
    honest = Table.partial_scores

    def more(table: Table, *args: object) -> object:
        points, known = honest(table, *args)  # type: ignore[arg-type] # as they came
        return points + 5, known

    patch.setattr(Table, "partial_scores", more)


def forgotten_marks(patch: pytest.MonkeyPatch) -> None:
    """Marks do not outlive the process, and nonces are not looked at."""
    patch.setattr(ReceivedMarks, "write", nothing)
    no_nonces(patch)


RESTARTED: Final = [*ALL, Operation(Kind.STOP, which=1), AGAIN]
FAULTS: Final[dict[str, tuple[Plant, list[Operation], str]]] = {
    "no proof": (unproven, ALL, "answers before the log has its events"),
    "no receipt": (no_receipts, ALL, "answers without a receipt"),
    "no sequence": (no_sequence, [*ALL, AGAIN], "does not log an envelope"),
    "no nonces": (no_nonces, [*ALL, *RESENT], "answers a request twice"),
    "no incidents": (no_incidents, [*ALL, AGAIN], "does not log an envelope"),
    "no limit of skew": (no_skew, SKEWED, "takes a clock"),
    "no decisions": (no_decisions, ALL, "does not decide on a request"),
    "other points": (other_points, ALL, "a score is wrong"),
    "marks forgotten": (forgotten_marks, RESTARTED, "answers a request twice"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(people: People, name: str) -> None:
    plant, plan, symptom = FAULTS[name]
    player, wrong = play(people, plan)
    assert wrong == []
    assert player.calls[0].got or plan == SKEWED
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        _, wrong = play(people, plan)
    assert any(symptom in each for each in wrong), wrong
