import pytest
from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st

from veilscore.fault import Fault
from veilscore.node import client_app
from veilscore.node.errors import CoordinatorRefusedError, RefusedError, SourceError

MESSAGE_ID = "ab" * 32


def message(content: RecordDict, kind: str = "query.step") -> Message:
    metadata = Metadata(
        run_id=1,
        message_id=MESSAGE_ID,
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=1.8e9,
        ttl=1e9,
        message_type=kind,
    )
    return make_message(metadata=metadata, content=content)


def step(run: object = "r", name: object = "s", payload: object = b"p") -> RecordDict:
    values = {"run": run, "step": name, "payload": payload}
    return RecordDict({"step": ConfigRecord(values)})  # type: ignore[arg-type] # hostile


def ask(request: Message, app: ClientApp = client_app.app) -> dict[str, object]:
    context = Context(1, 2, {}, RecordDict(), {})
    reply = app(request, context)
    return dict(reply.content.config_records["reply"])


def refusal(code: str, reason: str) -> dict[str, object]:
    return {"ok": False, "payload": b"", "code": code, "reason": reason}


def raising(error: Exception) -> ClientApp:
    def handler(run: str, name: str, payload: bytes, message_id: str) -> bytes:
        del run, name, payload, message_id
        raise error

    return client_app.make_app(handler)


def test_the_handler_gets_the_step_and_its_bytes_go_back() -> None:
    def handler(run: str, name: str, payload: bytes, message_id: str) -> bytes:
        assert (run, name, message_id) == ("run-1", "counts", MESSAGE_ID)
        return payload[::-1]

    app = client_app.make_app(handler)
    answer = ask(message(step("run-1", "counts", b"abc")), app)
    assert answer == {"ok": True, "payload": b"cba", "code": "", "reason": ""}


def test_without_a_handler_the_node_refuses() -> None:
    assert ask(message(step())) == refusal(
        "refused", "this node does not take part in training"
    )


def test_a_refusal_is_answered_with_its_fixed_sentence_only() -> None:
    error = RefusedError(
        "this run is not approved", party="bank", place="/srv/x", remedy="Approve it."
    )
    answer = ask(message(step()), raising(error))
    assert answer == refusal("refused", "this run is not approved")


@pytest.mark.parametrize("error", [SourceError("row 7 of /srv/x: 5001"), Fault("x")])
def test_of_another_fault_only_the_code_leaves(error: Fault) -> None:
    assert ask(message(step()), raising(error)) == refusal(error.code, "")


def test_what_the_coordinator_refused_is_answered_with_its_own_code() -> None:
    error = CoordinatorRefusedError("its sentence", reason="log-store", place="/srv")
    answer = ask(message(step()), raising(error))
    assert answer == refusal("coordinator-refused", "log-store")


def test_of_a_bug_only_the_type_leaves() -> None:
    bug = raising(KeyError("91110000600037341L"))
    assert ask(message(step()), bug) == refusal("internal", "KeyError")


names = st.text(max_size=80) | st.integers(-9, 9) | st.binary(max_size=3)


@given(run=names, name=names, payload=st.binary(max_size=9) | st.text(max_size=9))
def test_a_step_with_anything_but_short_names_and_bytes_is_refused(
    run: object, name: object, payload: object
) -> None:
    answer = ask(message(step(run, name, payload)))
    good = all(isinstance(word, str) and 0 < len(word) <= 64 for word in (run, name))
    sentence = (
        "this node does not take part in training"
        if good and isinstance(payload, bytes)
        else "a step needs a run, a name and a payload"
    )
    assert answer == refusal("refused", sentence)


def test_an_empty_message_is_refused() -> None:
    assert ask(message(RecordDict()))["code"] == "refused"


def test_there_is_no_other_handler() -> None:
    with pytest.raises(ValueError, match="steal"):
        ask(message(step(), "query.steal"))
