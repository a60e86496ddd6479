"""A witness (C2SP tlog-witness): cosigns what continues all it has cosigned before.

For every log it is told of it keeps the newest checkpoint that it cosigned, and only
cosigns another with a proof that nothing was removed or rewritten in between. What it
has cosigned is on disk before the cosignature leaves, and compared and replaced in one
transaction, so neither a crash nor two requests at once take it back.

It sees sizes and hashes, no entry of a log. A request needs no secret: all that counts
is the log's own signature. Two trees of one size that the log signed are kept as
evidence, and so are checkpoints of which nobody has shown that they continue the one
cosigned: whoever submitted them may have kept the proof back.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    decode_decimal,
    open_checkpoint,
)
from veilscore.keys.tlog.cosignature import WitnessKey, cosign
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.evidence.contradiction import Contradiction
from veilscore.keys.tlog.note import (
    NoteKey,
    decode_base64,
    only_by,
    signatures_of,
    text_of,
)
from veilscore.keys.tlog.proof import verify_consistency
from veilscore.keys.tlog.tree import EMPTY_ROOT

_MAX_HASHES = 63
_SCHEMA = """CREATE TABLE IF NOT EXISTS cosigned (
    origin TEXT PRIMARY KEY, note TEXT NOT NULL
) STRICT"""


class Answer(IntEnum):
    """What tlog-witness answers a checkpoint that is not cosigned: HTTP statuses."""

    MALFORMED = 400
    NOT_SIGNED = 403
    UNKNOWN_LOG = 404
    CONFLICT = 409  # not from the size that was cosigned last, or another root
    NOT_CONSISTENT = 422


class NotCosignedError(ProofError):
    """A checkpoint that the witness does not cosign; ``size`` is the one it did."""

    code = "not-cosigned"

    def __init__(self, answer: Answer, what: str, *, size: int | None = None) -> None:
        super().__init__(what)
        self.answer = answer
        self.size = size


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to cosign: the size it starts from, the proof, the checkpoint."""

    old: int
    path: tuple[bytes, ...]
    note: str

    @property
    def body(self) -> bytes:
        """The body of the request."""
        encoded = (base64.b64encode(node).decode() for node in self.path)
        lines = [f"old {self.old}", *encoded]
        return ("\n".join(lines) + f"\n\n{self.note}").encode()

    @classmethod
    def parse(cls, body: bytes) -> "Submission":
        """Read a request, of which nothing is verified yet; raises ProofError."""
        try:
            head, blank, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise ProofError("the request is not UTF-8 text") from error
        old, *hashes = head.split("\n")
        if not blank or not old.startswith("old ") or len(hashes) > _MAX_HASHES:
            raise ProofError("this is not a request to cosign a checkpoint")
        text_of(note)
        path = tuple(decode_base64(line) for line in hashes)
        return cls(decode_decimal(old.removeprefix("old ")), path, note)


class Witness:
    """Cosigns under one name and key; every method may be called from any thread.

    ``report`` gets every contradiction that was found, before the log is told.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        signer: Signer,
        logs: Iterable[NoteKey],
        *,
        clock: Callable[[], float],
        report: Callable[[Contradiction], object],
    ) -> None:
        self.key = WitnessKey(name, signer.verify_key)
        self._db = database
        self._signer = signer
        self._logs = {log.name: log for log in logs}
        self._clock = clock
        self._report = report
        with database.transaction():
            database.run(_SCHEMA)

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature line for a submission.

        Raises:
            NotCosignedError: says why not.
            LogStoreError: what would be cosigned may not be on disk.

        """
        try:
            submission = Submission.parse(body)
        except ProofError as error:
            raise NotCosignedError(Answer.MALFORMED, error.what) from error
        log, checkpoint = self._open(submission.note)
        if submission.old > checkpoint.size:
            raise NotCosignedError(
                Answer.MALFORMED, "the old size is larger than the checkpoint's"
            )
        with self._db.transaction():
            self._compare(log, submission, checkpoint)
            # Lines of others are their sender's word: only the log's is kept.
            self._db.run(
                "INSERT OR REPLACE INTO cosigned VALUES (?, ?)",
                log.name,
                only_by(submission.note, log),
            )
            # Here, so that a later time is always of a tree at least as large.
            return self._cosign(submission.note)

    def latest(self, origin_hash: str) -> str:
        """Return the newest cosigned checkpoint of a log, by SHA-256 of its origin.

        Raises:
            NotCosignedError: an unknown log, or none of it was cosigned yet.

        """
        for origin in self._logs:
            if hashlib.sha256(origin.encode()).hexdigest() == origin_hash:
                with self._db.lock:
                    if note := self._cosigned(origin):
                        return note + self._cosign(note)
                break
        raise NotCosignedError(Answer.UNKNOWN_LOG, "no checkpoint of such a log")

    def _open(self, note: str) -> tuple[NoteKey, Checkpoint]:
        """Return whose checkpoint it is, and what it says, once it is verified."""
        origin = text_of(note).partition("\n")[0]
        log = self._logs.get(origin)
        if log is None:
            raise NotCosignedError(Answer.UNKNOWN_LOG, "this witness knows no such log")
        try:
            signatures = signatures_of(note, log)
        except ProofError as error:
            raise NotCosignedError(Answer.NOT_SIGNED, error.what) from error
        if not signatures:
            raise NotCosignedError(Answer.NOT_SIGNED, "the log did not sign this")
        try:
            return log, open_checkpoint(note, log)
        except ProofError as error:
            raise NotCosignedError(Answer.MALFORMED, error.what) from error

    def _compare(self, log: NoteKey, submitted: Submission, new: Checkpoint) -> None:
        """Check that the new checkpoint continues the one that was cosigned last."""
        note = self._cosigned(log.name)
        old = (
            open_checkpoint(note, log) if note else Checkpoint(log.name, 0, EMPTY_ROOT)
        )
        if new.size == old.size and new.root != old.root:
            self._contradicts(log, note, submitted.note)
            raise NotCosignedError(
                Answer.CONFLICT,
                f"another tree of {old.size} entries was cosigned",
                size=old.size,
            )
        if submitted.old != old.size:
            raise NotCosignedError(
                Answer.CONFLICT,
                f"{old.size} entries were cosigned, not {submitted.old}",
                size=old.size,
            )
        try:
            if old.size or submitted.path:  # else all of it is new
                verify_consistency(
                    old.size, new.size, submitted.path, old.root, new.root
                )
        except ProofError as error:
            if new.size > old.size:  # else the proof is the sender's fault
                self._contradicts(log, note, submitted.note)
            raise NotCosignedError(Answer.NOT_CONSISTENT, error.what) from error

    def _contradicts(self, log: NoteKey, old: str, new: str) -> None:
        if old:
            self._report(Contradiction(log, old, only_by(new, log)))

    def _cosign(self, note: str) -> str:
        now_s = int(self._clock())
        return cosign(text_of(note), self.key.name, self._signer, now_s)

    def _cosigned(self, origin: str) -> str:
        row = self._db.row((str,), "SELECT note FROM cosigned WHERE origin = ?", origin)
        return row[0] if row else ""
