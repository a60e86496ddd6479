"""The loopback identity of a SuperNode, which is made anew at every start."""

import itertools
import time
from pathlib import Path

import pytest

from veilscore.node.supernode import SuperNode, SuperNodeConfig


def test_a_start_may_cross_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(1_790_000_000)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    made = SuperNode(
        SuperNodeConfig("127.0.0.1:1", 1, tmp_path),
        flower_key=b"key",
        ca_certificates=b"authority",
        on_death=lambda _: None,
    )
    assert (tmp_path / "flower" / "secrets" / "loopback.pem").exists()
    made.stop()
    assert not (tmp_path / "flower" / "secrets").exists()
