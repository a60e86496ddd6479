"""The app that answers Flower on a node: one handler, installed here.

It is what a training run reaches whatever app the run names. A message carries a
run, a step and bytes; the handler that the node gave its executor decides.

Who learns what: the coordinator gets the handler's bytes, or a refusal: the stable
code of a ``Fault`` and, for what the operator has not allowed, its fixed sentence;
for what the coordinator itself refused, the code that it gave.
Of everything else it gets a name, never a text: texts may hold paths, columns, ids.
"""

import logging
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from veilscore.fault import Fault
from veilscore.node.errors import CoordinatorRefusedError, RefusedError

_LOG = logging.getLogger(__name__)
_LONGEST_NAME = 64

# run, step, payload, message id (hash of the message: joins both sides' logs)
Handler = Callable[[str, str, bytes, str], bytes]


def make_app(handler: Handler) -> ClientApp:
    """Return the app that answers each step of each run with ``handler``."""
    made = ClientApp()

    @made.query("step")
    def step(message: Message, context: Context) -> Message:
        del context  # comes from the coordinator; nothing here needs it
        try:
            run, name, payload = _parse(message.content)
            answer = handler(run, name, payload, message.metadata.message_id)
        except Fault as fault:
            _LOG.warning("step refused: %s", fault)
            return _reply(message, code=fault.code, reason=_told(fault))
        except Exception as error:  # noqa: BLE001 - a border: only the type leaves
            _LOG.warning("step failed", exc_info=True)
            return _reply(message, code="internal", reason=type(error).__name__)
        return _reply(message, payload=answer)

    return made


def _told(fault: Fault) -> str:
    if isinstance(fault, CoordinatorRefusedError):
        return fault.reason
    return fault.what if isinstance(fault, RefusedError) else ""


def _parse(content: RecordDict) -> tuple[str, str, bytes]:
    record = content.config_records.get("step", ConfigRecord())
    run, name, payload = (record.get(key) for key in ("run", "step", "payload"))
    if (
        not isinstance(run, str)
        or not isinstance(name, str)
        or not isinstance(payload, bytes)
        or not 0 < len(run) <= _LONGEST_NAME
        or not 0 < len(name) <= _LONGEST_NAME
    ):
        raise RefusedError("a step needs a run, a name and a payload")
    return run, name, payload


def _reply(
    message: Message, *, payload: bytes = b"", code: str = "", reason: str = ""
) -> Message:
    record = ConfigRecord(
        {"ok": not code, "payload": payload, "code": code, "reason": reason}
    )
    return Message(RecordDict({"reply": record}), reply_to=message)


def _absent(run: str, name: str, payload: bytes, message_id: str) -> bytes:
    del run, name, payload, message_id
    raise RefusedError("this node does not take part in training")


# What the app bundle names. A node never serves it: its executor makes its own.
app = make_app(_absent)
