"""What reached the coordinator, and how its processes write that down."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CALL: Final = "hub call"  # the metadata of a gRPC call
MESSAGE: Final = "hub message"  # one gRPC message
OPENED: Final = "opened envelope"  # what the coordinator could read of one
WEB: Final = "web connection"  # a part of what came over an HTTP connection
FLOWER: Final = "Flower connection"  # the same, at the SuperLink


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that reached the coordinator; ``source`` is a call, connection or party."""

    channel: str
    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes to a file of one process; any thread may."""

    path: Path
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def note(self, channel: str, source: str, data: bytes) -> None:
        """Write down what came before anybody looks at it."""
        line = json.dumps([channel, source, b64encode(data).decode()])
        with self._turn, self.path.open("a", encoding="ascii") as file:
            file.write(line + "\n")


def read_records(folder: Path) -> Iterator[Received]:
    """Yield what all processes wrote, each in its order."""
    for path in sorted(folder.iterdir()):
        for line in path.read_text(encoding="ascii").splitlines():
            channel, source, data = json.loads(line)
            yield Received(channel, f"{path.stem}: {source}", b64decode(data))
