"""Send the bank's events to the log's service and print what it acknowledges.

    python -m tests.faults.appending FOLDER SEQ DIGEST [BATCH ...]

SEQ and DIGEST are those of the bank's last event that was acknowledged before; without
batches it goes on until it is killed. Prints ``ready`` before it opens the log, and the
size and the root that a call acknowledged when it has returned. As a party does, it
sends what was refused again, but only once; then it ends, as it does when the log
cannot be opened. Standard input holds the private keys of all parties.
"""

import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from tests.unit.tlog.sample_log import ORIGIN, Parties, serve
from veilscore.coordinator.log import LogService
from veilscore.keys.errors import LogStoreError
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.events import ActorHead
from veilscore.keys.tlog.store import LogStore

FOREVER = (1, 3, 2)
ATTEMPTS = 2


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def acknowledged(store: LogStore, service: LogService, leaves: list[bytes]) -> bool:
    """Send events, and again if they are refused; return whether they went in."""
    for _ in range(ATTEMPTS):
        try:
            proofs = service.append(leaves)
        except LogStoreError as fault:
            tell(f"refused {fault}")
        else:
            head: Checkpoint = open_checkpoint(proofs[-1].checkpoint, store.key)
            tell(f"{head.size} {head.root.hex()}")
            return True
    return False


def append(
    folder: Path, parties: Parties, after: ActorHead, sizes: Sequence[int]
) -> None:
    hub = parties.signers["hub"]
    guard = folder / "log-guard.sqlite"
    store = LogStore.open(folder / "log.sqlite", ORIGIN, hub, guard=guard)
    service = serve(store, parties)
    story = parties.story("bank", after)
    for size in sizes or cycle(FOREVER):
        leaves = [event.leaf for event in islice(story, size)]
        if not acknowledged(store, service, leaves):
            break
    store.close()


def main() -> None:
    parties = Parties.read(sys.stdin.buffer.read())
    folder, seq, digest, *sizes = sys.argv[1:]
    after = ActorHead(int(seq), bytes.fromhex(digest))
    tell("ready")
    try:
        append(Path(folder), parties, after, [int(size) for size in sizes])
    except LogStoreError as fault:
        tell(f"refused {fault}")


if __name__ == "__main__":
    main()
