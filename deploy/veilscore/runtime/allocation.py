"""Give memory back to the system that is free: large blocks at once, others when asked.

glibc raises the size from which a block gets a mapping of its own to that of the
largest block freed so far, up to 32 MiB; smaller ones then come from heaps, which keep
what lies below a block that is still in use. A node that had read a table and sets in
parts so held nearly twice what it used.
"""

import ctypes
from contextlib import suppress
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # malloc.h; setting it also stops its growth
_LARGE: Final = 1 << 16  # bytes: a part of a column, and all larger arrays


def return_large_blocks() -> None:
    """Map every block of 64 KiB or more by itself, in this process, from now on.

    A C library without this setting (musl) maps large blocks anyway.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def return_free_pages() -> None:
    """Give back every free page of the heaps; for the end of a large piece of work.

    A C library without this call (musl) keeps what it keeps.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
