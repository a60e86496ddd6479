"""``python port_scan.py ADDRESS``: dial every TCP port of an address.

Prints what each port answered. Imports nothing of this tree, because it runs by its
path on a host where it is not known where the tree is.
"""

import errno
import json
import socket
import sys
from collections import Counter
from dataclasses import asdict, dataclass

_PORTS = range(1, 65_536)
_PATIENCE_S = 5.0  # a port that says nothing for so long is told as EAGAIN


@dataclass(frozen=True)
class Answers:
    """The ports that took a connection, and how many gave which error instead."""

    open: list[int]
    errors: dict[str, int]


def scan(address: str) -> Answers:
    """Dial all ports one after the other."""
    taken: list[int] = []
    errors = Counter[str]()
    for port in _PORTS:
        with socket.socket() as probe:
            probe.settimeout(_PATIENCE_S)
            status = probe.connect_ex((address, port))
        if status:
            errors[errno.errorcode[status]] += 1
        else:
            taken.append(port)
    return Answers(taken, dict(errors))


def read(told: str) -> Answers:
    """Return what a scan printed."""
    return Answers(**json.loads(told))


if __name__ == "__main__":
    json.dump(asdict(scan(sys.argv[1])), sys.stdout)
