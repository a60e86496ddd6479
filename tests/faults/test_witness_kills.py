"""A witness that is killed at random times never takes back what it has cosigned.

After every kill it must hold at least the last checkpoint whose cosignature was
answered, one that the log did sign, and refuse a second history of that size. The log
grows all the while. ``make soak`` kills 40 times, ``make test`` a tenth.
"""

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Timer

import pytest

from tests.faults.conftest import Report
from tests.faults.strace import ROOT
from tests.faults.witnessing import NAME
from tests.unit.tlog.sample_log import NOW_MS, Parties, SampleLog
from tests.vectors.tlog import make_tree
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from veilscore.keys.tlog.cosignature import WitnessKey, cosigned_at
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.witness import (
    Answer,
    NotCosignedError,
    Submission,
    Witness,
)

SEED = 4
KILLS = 40
LONGEST_S = 0.1


class Killed:
    """A log, and a witness of it that does not live long."""

    def __init__(self, folder: Path, log: SampleLog) -> None:
        self._state = folder / "witness.sqlite"
        self._log = log
        self._story = log.parties.story("bank")
        self._signer = Signer.generate()
        self._key = WitnessKey(NAME, self._signer.verify_key)
        self._known = 0  # entries that the witness has cosigned, as the log knows
        self.answered = 0  # entries under the last cosignature that was answered
        self.cosignatures = 0

    def live(self, delay_s: float, *, late: bool) -> None:
        """Run the witness until it is killed; ``late``: once it has answered."""
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.witnessing"),
                *(str(self._state), self._log.store.key.vkey),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        ) as process:
            assert process.stdin
            process.stdin.write(self._signer.private_bytes())
            process.stdin.flush()
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            end = Timer(delay_s, process.kill)
            if not late:
                end.start()
            while self._ask(process):
                if late:
                    end.start()
                    late = False
            with suppress(BrokenPipeError):
                process.stdin.close()
        assert process.returncode < 0

    def _ask(self, process: subprocess.Popen[bytes]) -> bool:
        """Have the log, one event larger, cosigned; return whether there is a reply."""
        assert process.stdin
        assert process.stdout
        self._log.store.append([next(self._story)])
        submission = self._submit(self._log.store.signed())
        request = b"%d\n%b" % (len(submission.body), submission.body)
        with suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.flush()
        line = process.stdout.readline().decode()
        if not line.endswith("\n"):
            return False
        if line.startswith("refused"):
            _, answer, size = line.split()
            assert int(answer) == Answer.CONFLICT
            assert int(size) > self.answered  # cosigned, but the reply was lost
            self._known = int(size)
        else:
            assert cosigned_at(submission.note + line, self._key) is not None
            self._known = self.answered = self._log.store.size
            self.cosignatures += 1
        return True

    def _submit(self, note: str) -> Submission:
        size = open_checkpoint(note, self._log.store.key).size
        path = self._log.store.consistency(self._known, size) if self._known else ()
        return Submission(self._known, path, note)

    def judge(self) -> None:
        """Fail unless the witness stands by what it has answered."""
        log = self._log.store.key
        found: list[object] = []
        with closing(Database(self._state)) as state:
            witness = Witness(
                state,
                NAME,
                self._signer,
                [log],
                clock=lambda: NOW_MS / 1000,
                report=found.append,
            )
            if not self.answered:
                return
            note = witness.latest(hashlib.sha256(log.name.encode()).hexdigest())
            kept = open_checkpoint(note, log)
            assert kept.size >= self.answered, "a cosignature was taken back"
            leaves = [
                self._log.store.entry(index).opened.leaf for index in range(kept.size)
            ]
            assert kept.root == make_tree.mth(leaves)
            other = Checkpoint(log.name, kept.size, make_tree.mth([*leaves[1:], b""]))
            forked = sign_checkpoint(other, self._log.parties.signers["hub"])
            with pytest.raises(NotCosignedError) as caught:
                witness.add_checkpoint(Submission(kept.size, (), forked).body)
            assert caught.value.answer == Answer.CONFLICT
            assert len(found) == 1


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[SampleLog]:
    sample = SampleLog(tmp_path, parties)
    yield sample
    sample.store.close()


def test_no_answered_cosignature_is_taken_back_when_the_witness_is_killed(
    log: SampleLog, tmp_path: Path, report: Report, *, soak: bool
) -> None:
    chooser = random.Random(SEED)
    witness = Killed(tmp_path, log)
    kills = KILLS if soak else KILLS // 10
    for number in range(kills):
        witness.live(chooser.uniform(0, LONGEST_S), late=number % 2 == 0)
        witness.judge()
    assert witness.cosignatures >= kills // 2
    report(
        f"{kills} kills of a witness, seed {SEED}: {witness.cosignatures} cosignatures "
        f"of up to {witness.answered} entries answered; 0 taken back"
    )
