"""Append events one by one and print each checkpoint, until killed.

Reads two private keys from standard input: the coordinator's and the bank's.
"""

import sys
from pathlib import Path

from tests.unit.tlog.sample_log import NOW_MS, ORIGIN
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import build_event, sign_event
from veilscore.keys.tlog.store import LogStore
from veilscore.v1.audit_pb2 import Started


def main() -> None:
    hub, bank = (Signer.from_private_bytes(sys.stdin.buffer.read(32)) for _ in "ab")
    path, guard = map(Path, sys.argv[1:])
    store = LogStore.open(path, ORIGIN, hub, guard=guard)
    while True:
        event = build_event(
            Started(version="0.1"),
            actor="bank",
            head=store.head("bank"),
            correlation="",
            time_ms=NOW_MS,
        )
        store.append([sign_event(event, bank)])
        head = open_checkpoint(store.checkpoint(), store.key)
        sys.stdout.write(f"{head.size} {head.root.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
