"""Many texts sought in much data at once, whatever their number.

Every few bytes of the data are looked up in one table of the beginnings of all texts,
which numpy does for a megabyte in milliseconds; what is marked there is compared whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_BLOCK: Final = 1 << 20
_WIDEST: Final = 8

_What = TypeVar("_What")


class Beginnings(Generic[_What]):
    """Texts of at least ``width`` bytes, 8 at most, each with what it is."""

    def __init__(self, width: int, texts: Iterable[tuple[_What, bytes]]) -> None:
        self._width = width
        self._texts: defaultdict[bytes, list[tuple[_What, bytes]]] = defaultdict(list)
        for what, text in texts:
            self._texts[text[:width]].append((what, text))
        octets = np.frombuffer(b"".join(self._texts), np.uint8)
        self._marked = np.zeros(1 << 24, np.bool_)
        self._marked[_slots(octets.reshape(-1, width))] = True

    def find(self, data: bytes) -> Iterator[tuple[int, _What]]:
        """Yield the places of all texts in ``data``, and what they are."""
        for start in range(0, len(data) - self._width + 1, _BLOCK):
            block = data[start : start + _BLOCK + self._width - 1]
            octets = np.frombuffer(block, np.uint8)
            slots = _slots(sliding_window_view(octets, self._width))
            for place in np.flatnonzero(self._marked[slots]).tolist():
                at = start + place
                for what, text in self._texts.get(data[at : at + self._width], ()):
                    if data.startswith(text, at):
                        yield at, what


def _slots(windows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a 24-bit hash of each row of up to 8 bytes."""
    words = np.zeros((len(windows), _WIDEST), np.uint8)
    words[:, : windows.shape[1]] = windows
    # Fibonacci hashing: the top bits of a product with an odd constant.
    odd = np.uint64(0x9E3779B97F4A7C15)
    return (words.view(np.uint64).ravel() * odd) >> np.uint64(40)
