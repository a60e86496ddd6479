"""The promise of protos/README.md: every message says who sees it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from veilscore.v1 import (
    aggregation_pb2,
    audit_pb2,
    envelope_pb2,
    hub_pb2,
    opening_pb2,
    score_pb2,
    training_pb2,
)

PROTOS = Path(__file__).parents[3] / "protos" / "veilscore" / "v1"
MODULES = (
    *(aggregation_pb2, audit_pb2, envelope_pb2),
    *(hub_pb2, opening_pb2, score_pb2, training_pb2),
)
# The comment lines right above the line that begins a message.
COMMENTED = re.compile(r"((?:^// .*\n)*)^message (\w+) ", re.MULTILINE)
SEEN = re.compile(r"\bSeen by \w+")


def messages() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and comment of every message."""
    for path in sorted(PROTOS.glob("*.proto")):
        for comment, name in COMMENTED.findall(path.read_text(encoding="utf-8")):
            yield path.stem, name, comment.replace("\n// ", " ")


def test_every_message_is_read_here() -> None:
    compiled = {
        (module.DESCRIPTOR.name.rpartition("/")[2].removesuffix(".proto"), name)
        for module in MODULES
        for name in module.DESCRIPTOR.message_types_by_name
    }
    assert {(file, name) for file, name, _ in messages()} == compiled
    assert len(compiled) > 60


@pytest.mark.parametrize(
    ("name", "comment"), [(name, comment) for _, name, comment in messages()]
)
def test_a_message_says_who_sees_it(name: str, comment: str) -> None:
    assert len(SEEN.findall(comment)) == 1, f"{name}: {comment}"
