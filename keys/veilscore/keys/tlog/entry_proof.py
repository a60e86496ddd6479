"""Proofs of single entries: taken from a log's files, and verified on their own.

Whoever holds an entry and its proof shows that the log held it, to anybody who believes
the log's key or a policy, and shows no other entry. Who signed the event in the entry
is not looked at: that needs the parties' keys, which a proof does not hold (an evidence
bundle does).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from veilscore.keys.errors import AuditError, KeysError, ProofError
from veilscore.keys.tlog.archive import LogFiles
from veilscore.keys.tlog.audit import HEAD, LOG_KEY, WITNESSES, Watch
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.export import CHECKPOINT, LOG, decode_text, read_log_document
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.proof import inclusion_proof
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.search import Progress, Wanted, entries_of, hashes_of
from veilscore.keys.tlog.tiles import WIDTH, Tile, decode_bundle, tiles_of
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import leaf_hash, split_hashes

_Found = TypeVar("_Found")

FILE = "file"
INCLUSION = "proofs of the entries"

# Names the entries that are to be proved; raises ProofError if there is none.
Choice = Callable[[LogFiles, int, Progress], Sequence[tuple[int, bytes]]]


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry and its proof; nothing is verified yet."""

    leaf: bytes
    proof: TlogProof


@dataclass(frozen=True, slots=True)
class ProofReport:
    """What a passed audit of proofs has seen; hashes in hex."""

    origin: str
    fingerprint: str
    size: int
    root: str
    witnesses: tuple[str, ...]
    entries: tuple[dict[str, str | int], ...]  # index, actor, type, correlation
    remarks: tuple[str, ...]


def take_proofs(
    files: LogFiles,
    choice: Choice,
    progress: Progress = lambda _done, _total: None,
) -> tuple[NoteKey, list[ProvenEntry]]:
    """Return whose log it is by its own word, and what was chosen, each with its proof.

    Raises:
        ProofError: the log has nothing of the kind, or its files do not fit together.

    """
    key = read_log_document(files.read(LOG))
    note = decode_text(files.read(CHECKPOINT))
    size = open_checkpoint(note, key).size
    read = hashes_of(files, size)
    return key, [
        ProvenEntry(leaf, TlogProof(index, inclusion_proof(index, size, read), note))
        for index, leaf in choice(files, size, progress)
    ]


def by_index(index: int) -> Choice:
    """Choose the entry at a position of the log; reads one bundle of entries."""

    def choose(files: LogFiles, size: int, _: Progress) -> Sequence[tuple[int, bytes]]:
        if not 0 <= index < size:
            raise ProofError(
                f"a log of {size} entries has no entry {index}",
                remedy="Count from 0, or take a newer export.",
            )
        number, at = divmod(index, WIDTH)
        bundle = Tile(None, number, min(WIDTH, size - number * WIDTH))
        leaves = decode_bundle(files.read(bundle.path), bundle.width)
        return [(index, leaves[at])]

    return choose


def by_leaf(leaf: bytes) -> Choice:
    """Choose an entry by its exact bytes; reads hashes and no entry."""

    def choose(
        files: LogFiles, size: int, progress: Progress
    ) -> Sequence[tuple[int, bytes]]:
        wanted = leaf_hash(leaf)
        for tile in tiles_of(size):
            if tile.level != 0:
                break
            start = tile.number * WIDTH
            progress(start, size)
            hashes = split_hashes(files.read(tile.path))
            if wanted in hashes:
                progress(size, size)
                return [(start + hashes.index(wanted), leaf)]
        raise ProofError(
            "the log does not hold this entry",
            remedy="Give the exact bytes of the entry, and a log that is new enough.",
        )

    return choose


def by_correlation(correlation: str) -> Choice:
    """Choose all entries of a run or a score request; reads every entry."""
    wanted = Wanted(correlation=correlation)

    def choose(
        files: LogFiles, _: int, progress: Progress
    ) -> Sequence[tuple[int, bytes]]:
        found = [
            (entry.index, entry.opened.leaf)
            for entry in entries_of(files, progress)
            if wanted.fits(entry)
        ]
        if not correlation or not found:
            raise ProofError(
                f"the log has nothing of the request or run {correlation[:64]!r}",
                remedy="Name it as `veilscore audit search` lists it.",
            )
        return found

    return choose


def audit_proofs(
    proven: Sequence[ProvenEntry],
    *,
    log: NoteKey | None = None,
    fingerprint: bytes | None = None,
    policy: LogPolicy | None = None,
    watch: Watch = lambda _step, _done, _total: None,
) -> ProofReport:
    """Verify proofs of one checkpoint, one at least.

    ``log`` is the key that came along with them; without it the policy names the key.

    Raises:
        AuditError: names the step that failed.

    """
    note = proven[0].proof.checkpoint
    key = _step(LOG_KEY, lambda: _key(note, log, fingerprint, policy), watch)
    head = _step(HEAD, lambda: open_checkpoint(note, key), watch)
    witnesses: tuple[str, ...] = ()
    if policy is not None:
        known = policy
        witnesses = _step(WITNESSES, lambda: known.open_by(key, note), watch)
    entries = tuple(_entries(proven, head, watch))
    unpinned = fingerprint is None and policy is None
    return ProofReport(
        origin=head.origin,
        fingerprint=key.key.fingerprint.hex(),
        size=head.size,
        root=head.root.hex(),
        witnesses=witnesses,
        entries=entries,
        remarks=(
            ("no fingerprint was given: the log's key is the log's own word",)
            if unpinned
            else ()
        ),
    )


def parse_proof(text: bytes, leaf: bytes) -> ProvenEntry:
    """Read a ``.tlog-proof`` file for an entry; raises AuditError."""
    try:
        return ProvenEntry(leaf, TlogProof.parse(decode_text(text)))
    except KeysError as error:
        raise AuditError(FILE, error.what, place=FILE) from error


def is_proof(beginning: bytes) -> bool:
    """Say whether a file that begins so is a proof rather than an export."""
    return beginning.startswith(b"c2sp.org/tlog-proof")


def _key(
    note: str, log: NoteKey | None, fingerprint: bytes | None, policy: LogPolicy | None
) -> NoteKey:
    if log is None and policy is not None:
        log = policy.logs[policy.open_signed(note).origin]
    if log is None:
        raise ProofError("nobody said under which key the log signs")
    if fingerprint is not None and log.key.fingerprint != fingerprint:
        found = log.key.fingerprint.hex()
        raise ProofError(f"the log is of key {found}, not the pinned one")
    return log


def _entries(
    proven: Sequence[ProvenEntry], head: Checkpoint, watch: Watch
) -> Iterator[dict[str, str | int]]:
    for done, each in enumerate(proven):
        watch(INCLUSION, done, len(proven))
        place = f"{INCLUSION}, entry {each.proof.index}"
        try:
            each.proof.verify_in(head, each.leaf)
            entry = Entry(each.proof.index, read_event(each.leaf))
        except KeysError as error:
            raise AuditError(INCLUSION, error.what, place=place) from error
        event = entry.opened.event
        yield {
            "index": entry.index,
            "actor": event.actor,
            "type": entry.opened.kind,
            "correlation": event.correlation,
        }
    watch(INCLUSION, len(proven), len(proven))


def _step(step: str, work: Callable[[], _Found], watch: Watch) -> _Found:
    """Name the step when it does not verify; count it when it does."""
    try:
        done = work()
    except KeysError as error:
        raise AuditError(step, error.what, party=error.party, place=step) from error
    watch(step, 1, 1)
    return done
