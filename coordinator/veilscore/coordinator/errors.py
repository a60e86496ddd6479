"""What can go wrong at the coordinator."""

from veilscore.fault import Fault


class CoordinatorError(Fault):
    """Base of all errors of this package."""

    code = "coordinator"


class RunError(CoordinatorError):
    """A training run that could not be started or finished."""

    code = "run"


class AppendError(CoordinatorError):
    """An event the log does not accept."""

    code = "append"


class AccessError(CoordinatorError):
    """A registered party that may not do this, or no longer."""

    code = "access"


class OverloadError(CoordinatorError):
    """More than the coordinator will keep for a party; to be sent again later."""

    code = "overload"


class ReplacedError(CoordinatorError):
    """A stream whose party opened another one."""

    code = "replaced"


class ContractError(RunError):
    """A contract that no node need be asked about."""

    code = "contract"
    exit_code = 2


class PartyStoppedError(RunError):
    """A party that refused, failed or is absent; ``reason`` is the stable code."""

    def __init__(
        self,
        what: str,
        *,
        reason: str,
        party: str,
        place: str = "",
        remedy: str = "See that node's status page.",
    ) -> None:
        super().__init__(what, party=party, place=place, remedy=remedy)
        self.reason = reason


class RunFailedError(CoordinatorError):
    """A run that ended without a model, told to who waited for it."""

    code = "run-failed"
    exit_code = 8
