"""What a party's answer to a step means, and whose fault it is that there is none.

Nothing in an answer is trusted: of a failure only a word is told on.
"""

import re
from typing import Final

from google.protobuf.message import DecodeError

from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.keys.errors import MisconductError
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.training_pb2 import StepReport

UNREACHABLE: Final = UnreachableError.code
MISCONDUCT: Final = MisconductError.code
_CODE = re.compile(r"[a-z0-9-]{1,40}")
# What this hub refuses because of itself, not of who asks; codes of ``refusals``.
_OWN_FAILURES: Final = frozenset({"log-store", "internal", "overload"})


def check_reply(reply: StepReply, step: str) -> None:
    """Raise PartyStoppedError if the party refused or failed; trust no text of it.

    What this coordinator could not do for the party is a RunError.
    """
    if reply.ok:
        return
    code = reply.code if _CODE.fullmatch(reply.code) else "malformed"
    if code == "coordinator-refused" and reply.reason in _OWN_FAILURES:
        raise RunError(
            f"this coordinator could not take what {reply.party} handed in "
            f"({reply.reason})",
            place=f"step {step}",
            remedy="Read the coordinator's log, and check its disk.",
        )
    if code == UNREACHABLE:
        raise RunError(
            f"{reply.party} says that it could not reach this coordinator's hub, which "
            "saw no line break for good",
            place=f"step {step}",
            remedy="Start the run again; if it recurs, see whether this machine stood "
            "still or was overloaded, then look at the line to that party.",
        )
    if code == MISCONDUCT:
        raise PartyStoppedError(
            "says that a party broke the rules of secure sums",
            reason=code,
            party=reply.party,
            place=f"step {step}",
            remedy="Ask its operator whom the last file in its state/incidents names.",
        )
    said = reply.reason if code == "refused" and reply.reason else code
    raise PartyStoppedError(said, reason=code, party=reply.party, place=f"step {step}")


def read_report(reply: StepReply, step: str) -> StepReport:
    """Return the report of a reply; raises RunError that names its party."""
    try:
        return StepReport.FromString(reply.payload)
    except DecodeError as error:
        raise RunError(
            "its report cannot be read", party=reply.party, place=f"step {step}"
        ) from error
