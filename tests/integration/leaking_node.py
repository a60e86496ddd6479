"""``python -m tests.integration.leaking_node PARENT WORDS...``: a node with defects.

It runs the command as the lab does, but tells the coordinator in three ways what it
must not: in a notice the hash of an id, in the report of a step a feature as a field
that nobody knows, in the text of a refusal an id.
"""

import hashlib
import struct
import sys
from typing import Final

from veilscore.lab import party_process
from veilscore.node.columns import NumericColumn
from veilscore.node.errors import RefusedError
from veilscore.node.training.desk import TrainingDesk
from veilscore.v1.hub_pb2 import NoticeKind

MODULE: Final = "tests.integration.leaking_node"
# Field 15, 64 bits wide; StepReport has none of that number.
_UNKNOWN_FIELD: Final = b"\x79"

_handle = TrainingDesk.handle


def leaking(
    desk: TrainingDesk, run: str, step: str, payload: bytes, message_id: str
) -> bytes:
    """Answer a step, and say too much."""
    report = _handle(desk, run, step, payload, message_id)
    if step == "join":
        return report
    table = desk.surroundings().source
    if step == "counts":
        raise RefusedError(f"there is no bin for {table.ids[0].removeprefix('X:')}")
    digest = hashlib.sha256(table.ids[1].encode()).hexdigest()
    desk.notify(NoticeKind.NOTICE_KIND_STEP_DONE, run, digest)
    column = next(each for each in table.features if isinstance(each, NumericColumn))
    return report + _UNKNOWN_FIELD + struct.pack("<d", column.values[0])


if __name__ == "__main__":
    TrainingDesk.handle = leaking  # type: ignore[assignment, method-assign] # on purpose
    party_process.main(*sys.argv[1:])
