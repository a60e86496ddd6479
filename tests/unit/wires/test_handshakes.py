"""Connections that led to no call."""

from veilscore.coordinator.handshakes import PATIENCE_S, Handshakes


def test_only_connections_without_a_call_count_and_only_once() -> None:
    handshakes = Handshakes()
    for now, peer in ((0.0, "ipv4:10.0.0.1:1"), (1.0, "ipv4:10.0.0.1:2")):
        handshakes.began(now)
        handshakes.called(peer)
    handshakes.called("ipv4:10.0.0.1:1")  # a second call on the first connection
    handshakes.began(2.0)
    assert handshakes.take_failed(2.0 + PATIENCE_S) == 0
    assert handshakes.take_failed(2.1 + PATIENCE_S) == 1
    assert handshakes.take_failed(99.0) == 0
