"""The static files of the log of all, read over the hub part by part.

The hub learns what is read and when. Nothing that it says of a file is believed:
neither how large it is nor that it will come; what is in it, its reader verifies.
"""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.export import CHECKPOINT
from veilscore.keys.tlog.tiles import MAX_LEAF, Tile
from veilscore.keys.tlog.tree import HASH_SIZE
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.runtime.errors import UnreachableError, WireError
from veilscore.v1.hub_pb2 import ReadLogResponse

FILE_S: Final = 120.0  # for a whole file: 16 MiB at 1.2 Mbit/s
_MAX_CHECKPOINT: Final = 65_536  # bytes, with the signatures of all witnesses
_KEPT_TILES: Final = 64  # of 8 KiB at most


class HubLog:
    """Implements ``archive.LogFiles`` while one comparison lasts.

    ``part`` asks the hub for a file from an offset on, for some seconds at most. After
    ``stopping`` is set no further part is asked for.
    """

    def __init__(
        self,
        part: Callable[[str, int], ReadLogResponse],
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._part = part
        self._stopping = stopping
        self._clock = clock
        self._tile = lru_cache(_KEPT_TILES)(self._read)

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises ProofError for one that the log has not, WireError for one that no log
        has or that does not come in time, UnreachableError while this node stops, and
        what ``part`` raises.
        """
        if name == CHECKPOINT:
            return self._read(name, _MAX_CHECKPOINT)
        tile = Tile.parse(name)
        if tile.level is None:  # read once
            return self._read(name, tile.width * (2 + MAX_LEAF))
        return self._tile(name, tile.width * HASH_SIZE)

    def _read(self, name: str, most: int) -> bytes:
        until = self._clock() + FILE_S
        data, total = bytearray(), None
        while total is None or len(data) < total:
            if self._stopping.is_set():
                raise UnreachableError("this node stops", place=name)
            if self._clock() >= until:
                raise WireError(
                    f"of a file of the log {len(data)} bytes came in {FILE_S:.0f} s",
                    place=name,
                )
            response = self._ask(name, len(data))
            data += response.data
            wrong = (
                not len(data) <= response.total <= most
                or total not in {None, response.total}
                or not (response.data or len(data) == response.total)
            )
            if wrong:
                raise WireError(
                    f"a file of the log of {response.total} bytes, {most} at most, "
                    f"ends after {len(data)}",
                    place=name,
                )
            total = response.total
        return bytes(data)

    def _ask(self, name: str, offset: int) -> ReadLogResponse:
        try:
            return self._part(name, offset)
        except CoordinatorRefusedError as error:
            if error.reason != ProofError.code:
                raise
            raise ProofError(error.what, party=error.party, place=name) from error
