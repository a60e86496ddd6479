"""A SuperNode's main loop is told to send when a reply was left behind."""

from flwr.app import Message, RecordDict
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState

from tests.unit.flower.test_client_app import message
from veilscore.runtime.flower.late_replies import sending_late_replies


def nothing(**_: object) -> int | None:
    return None


def a_message(**_: object) -> int | None:
    return 7


def test_a_reply_that_was_left_behind_is_sent_though_nothing_came() -> None:
    state = InMemoryNodeState(ObjectStoreFactory().store())
    idle = sending_late_replies(nothing)
    busy = sending_late_replies(a_message)
    assert idle(state=state) is None
    assert busy(state=state) == 7
    asked = message(RecordDict())
    state.store_message(asked)
    assert idle(state=state) is None  # a question is no reply
    reply = Message(RecordDict(), reply_to=asked)
    reply.metadata.__dict__["_message_id"] = "cd" * 32
    state.store_message(reply)
    assert idle(state=state) is not None
    assert idle(state=state) is not None  # looking takes nothing out
    assert busy(state=state) == 7
    assert state.get_messages_legacy(is_reply=True) == [reply]
    assert idle(state=state) is None
