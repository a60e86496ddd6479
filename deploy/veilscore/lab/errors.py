"""What can go wrong in a lab, beside what its parties report themselves."""

from veilscore.runtime.errors import HostError


class LabError(HostError):
    """A lab that cannot be made or does not do what its file says."""

    code = "lab"


class CommandFailedError(LabError):
    """A ``veilscore`` command of a lab that ended with an error.

    ``exit_code`` is the command's own.
    """

    code = "lab-command"

    def __init__(self, what: str, *, party: str, remedy: str, exit_code: int) -> None:
        super().__init__(what, party=party, remedy=remedy)
        self.exit_code = exit_code


class RunStoppedError(LabError):
    """A training run that made no model."""

    code = "run-stopped"
    exit_code = 8


class NotComparedError(LabError):
    """What a comparison with pooled data needs is not there."""

    code = "not-compared"
