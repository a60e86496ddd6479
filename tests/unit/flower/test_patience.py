"""Which errors end a SuperNode's attempts to reach the SuperLink."""

import httpx
import pytest

from veilscore.runtime.flower.patience import patient_invoker

REQUEST = httpx.Request("POST", "https://127.0.0.1:9444/")


def answering(failures: list[Exception]) -> str:
    """Call what fails so often before it answers."""

    def call() -> str:
        if failures:
            raise failures.pop(0)
        return "answered"

    def at_once(seconds: float) -> None:
        assert seconds >= 0

    invoker = patient_invoker()
    invoker.wait_function = at_once
    answer: str = invoker.invoke(call)
    return answer


def test_a_connection_that_ends_within_tls_is_tried_again() -> None:
    ended = "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol"
    failures: list[Exception] = [httpx.ConnectError(ended), httpx.ReadError(ended)]
    assert answering(failures) == "answered"
    assert failures == []


def test_what_the_superlink_refuses_is_not_tried_again() -> None:
    refusal = httpx.Response(httpx.codes.BAD_REQUEST, request=REQUEST)
    failures: list[Exception] = [
        httpx.HTTPStatusError("bad", request=REQUEST, response=refusal),
        httpx.ConnectError("never raised"),
    ]
    with pytest.raises(httpx.HTTPStatusError):
        answering(failures)
    assert len(failures) == 1
