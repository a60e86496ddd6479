"""A witness that answers requests from standard input until it is killed.

    python -m tests.faults.witnessing FILE VKEY

FILE is its state, VKEY the key of the log. Standard input holds its private key, then
requests to cosign, each after a line with its length. Prints ``ready`` before it opens
its state, and for every request a line: the cosignature, or how it refuses.
"""

import sys
import time
from pathlib import Path

from veilscore.keys.identity import Signer
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.witness import NotCosignedError, Witness

NAME = "witness.example/killed"


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    signer = Signer.from_private_bytes(sys.stdin.buffer.read(32))
    log = NoteKey.parse(sys.argv[2])
    tell("ready")
    state = Database(Path(sys.argv[1]))
    witness = Witness(
        state,
        NAME,
        signer,
        [log],
        clock=time.time,
        report=lambda found: tell(f"found {found.is_proof}"),
    )
    while length := sys.stdin.buffer.readline():
        body = sys.stdin.buffer.read(int(length))
        try:
            line = witness.add_checkpoint(body)
        except NotCosignedError as error:
            line = f"refused {error.answer} {error.size}\n"
        tell(line.rstrip("\n"))


if __name__ == "__main__":
    main()
