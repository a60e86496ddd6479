"""What the operator's interface may ask of the coordinator (``web.face``).

Everything here is for whoever holds the operator's token, except the registry, which
is for everybody.
"""

import secrets
import time
from collections.abc import Callable, Sequence

from veilscore.coordinator.contract import read_contract
from veilscore.coordinator.desk import TrainingDesk
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.members import Members
from veilscore.coordinator.runs import RunBook
from veilscore.coordinator.web.face import CoordinatorStatus, NodeView, RunView
from veilscore.keys.registry import Role


class Front:
    """The coordinator as its pages see it.

    ``reasons`` say why no run can start now, ``warnings`` what else is wrong.
    """

    def __init__(
        self,
        members: Members,
        book: RunBook,
        desk: TrainingDesk,
        *,
        reasons: Callable[[], Sequence[str]],
        warnings: Callable[[], Sequence[str]],
        version: str,
    ) -> None:
        self._members = members
        self._book = book
        self._desk = desk
        self._reasons = reasons
        self._warnings = warnings
        self._version = version
        self._attached: dict[str, tuple[bool, int]] = {}

    def note(self, party: str, *, attached: bool) -> None:
        """Remember that a party has come or gone just now."""
        self._attached[party] = attached, now_ms()

    def status(self) -> CoordinatorStatus:
        """Return the state of the coordinator."""
        registry = self._members.registry
        return CoordinatorStatus(
            party=registry.coordinator.name,
            version=self._version,
            now_ms=now_ms(),
            nodes=tuple(
                NodeView(record.name, *self._attached.get(record.name, (False, None)))
                for record in registry.records
                if record.roles & {Role.DATA_HOLDER, Role.REQUESTER}
            ),
            reasons=tuple(self._reasons()),
            warnings=tuple(self._warnings()),
        )

    def registry_file(self) -> bytes:
        """Return the signed registry in force."""
        return self._members.file

    def runs(self) -> Sequence[RunView]:
        """Return all runs, the newest first."""
        return self._book.views()

    def propose(self, contract_toml: str) -> str:
        """Queue a run and return its id.

        Raises ContractError, and RunError while no run can start.
        """
        if reasons := self._reasons():
            raise RunError("; ".join(reasons), remedy="Try again in a few seconds.")
        run = secrets.token_hex(16)
        contract = read_contract(contract_toml.encode(), self._members.registry, run)
        self._desk.propose(contract)
        return run

    def run(self, run_id: str) -> RunView:
        """Return one run; raises RunError if there is none."""
        return self._book.view(run_id)

    def stop(self, run_id: str) -> None:
        """Stop a run for all of its parties; raises RunError if it has ended."""
        self._book.view(run_id)
        self._desk.stop(run_id)


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
