"""Freed blocks go back to the system, also from under one that is still in use."""

import subprocess
import sys

import pytest

# A freed block of 8 MiB makes glibc put smaller ones into its heap from then on; the
# last of those then holds the 50 MB below it.
_CHILD = """
import sys
from veilscore.runtime.allocation import return_free_pages, return_large_blocks

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line[:6] == "VmRSS:")

if sys.argv[1] == "returning":
    return_large_blocks()
del_me = bytearray(8 << 20)
del del_me
before = resident()
blocks = [bytearray(b"x") * (256 << 10) for _ in range(200)]
last, used = blocks[-1], resident()
blocks.clear()
if sys.argv[1] == "afterwards":
    return_free_pages()
print(used - before, resident() - before)
"""


def kept(how: str) -> tuple[int, int]:
    """Return what 50 MB of blocks took in a new process, and after all but one, KB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, how], check=True, capture_output=True, text=True
    )
    used, rest = map(int, done.stdout.split())
    return used, rest


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets glibc")
@pytest.mark.parametrize("how", ["returning", "afterwards"])
def test_large_blocks_are_given_back(how: str) -> None:
    used, rest = kept(how)
    assert used > 45_000
    assert rest < 5_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets glibc")
def test_without_it_the_heap_keeps_them() -> None:
    used, rest = kept("as it is")
    assert used > 45_000
    assert rest > 20_000
