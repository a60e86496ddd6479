"""The offline audit of an exported log: trusts a fingerprint or a policy, no more.

It rebuilds the tree from the entries, compares every published tile with it, checks
the checkpoint, and then every event: who signed it, and that each actor's events
form one gapless chain. With an older checkpoint it also shows that the log only
grew, and with a policy that witnesses saw this version of it. What it cannot see:
entries that were never appended, and, where no witness cosigned, a second version of
the log shown to others; the parties' own receipts and older checkpoints show those.

A party's own log is audited in the same way: every event must be of that party and
signed by the log's key. Whether it is what the party said of it in the log of all is
for ``recon``.

The auditor learns every event. There is no personal data in one.
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from veilscore.keys.errors import AuditError, KeysError, ProofError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import ExportFiles
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.events import (
    ActorHead,
    OpenedEvent,
    open_event,
    open_own_event,
)
from veilscore.keys.tlog.export import (
    CHECKPOINT,
    LOG,
    REGISTRY,
    decode_text,
    documents_of,
    read_log_document,
    tile_names,
)
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import owner_of
from veilscore.keys.tlog.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    TileEdge,
    bundles_of,
    decode_bundle,
)
from veilscore.keys.tlog.tree import EMPTY_ROOT, HASH_SIZE, Edge, leaf_hash

# The steps, in the order in which they end.
LOG_KEY = "log key"
HEAD = "checkpoint"
WITNESSES = "witnesses"
FILES = "files"
TREE = "entries and tiles"
ROOT = "root"
OLDER = "older checkpoint"
PARTIES = "registry"
SIGNATURES = "event signatures"
CHAINS = "actor chains"
JOINED = "registered keys"

_CLOCK_STEP_MS = 300_000  # a clock that goes back further is worth a remark

# Called with a step's name and how much of it is done: (step, done, total).
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a passed audit has seen; hashes in hex, times in ms since 1970."""

    origin: str
    fingerprint: str
    size: int
    root: str
    files: int
    older_size: int | None
    witnesses: tuple[str, ...]  # that cosigned it, as the policy names them
    kinds: dict[str, int]
    actors: dict[str, int]
    first_ms: int | None
    last_ms: int | None
    remarks: tuple[str, ...]


def audit_export(
    files: ExportFiles,
    *,
    fingerprint: bytes | None = None,
    policy: LogPolicy | None = None,
    older: str | None = None,
    watch: Watch = lambda _step, _done, _total: None,
) -> AuditReport:
    """Verify an export, against the coordinator's pinned fingerprint if there is one.

    With a ``policy`` it must be a log of that policy, cosigned by its quorum. ``older``
    is a checkpoint, a signed note, from an earlier visit.

    Raises:
        AuditError: names the step that failed and the entry or file it failed at.

    """
    audit = _Audit(files, watch)
    key = audit.log_key(fingerprint)
    head = audit.checkpoint(key)
    witnesses = audit.witnesses(policy, key)
    old = audit.older_checkpoint(older, key, head)
    names = audit.file_names(key, head)
    audit.tree(head, old)
    if owner := owner_of(key):
        seen = audit.own_events(head, owner, key)
        remarks = [f"the own log of {owner}: compare it with that of all by recon"]
    else:
        registry = audit.registry(key)
        seen = audit.events(head, registry)
        remarks = seen.unannounced()
    remarks += seen.clocks()
    if fingerprint is None and policy is None:
        remarks.append("no fingerprint was given: the log's key is the export's word")
    return AuditReport(
        origin=head.origin,
        fingerprint=key.key.fingerprint.hex(),
        size=head.size,
        root=head.root.hex(),
        files=len(names),
        older_size=old.size if old else None,
        witnesses=witnesses,
        kinds=dict(seen.kinds),
        actors={actor: chain.seq for actor, chain in seen.chains.items()},
        first_ms=seen.first_ms,
        last_ms=max(seen.last_ms.values(), default=None),
        remarks=tuple(remarks),
    )


@dataclass(slots=True)
class _Seen:
    """What the events have said so far."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    chains: dict[str, ActorHead] = field(default_factory=dict[str, ActorHead])
    joined: dict[str, bytes] = field(default_factory=dict[str, bytes])
    first_ms: int | None = None
    last_ms: dict[str, int] = field(default_factory=dict[str, int])
    set_back: set[str] = field(default_factory=set[str])

    def add(self, opened: OpenedEvent, coordinator: str) -> None:
        """Take the next event; raises ProofError if it breaks its actor's chain."""
        event = opened.event
        self.chains.get(event.actor, ActorHead()).check_next(event)
        self.chains[event.actor] = opened.head
        self.kinds[opened.kind] += 1
        if opened.kind == "party_joined" and event.actor == coordinator:
            party, key = event.party_joined.party, event.party_joined.fingerprint
            if self.joined.setdefault(party, key) != key:
                raise ProofError("it joined the log with two keys", party=party)
        if event.time_ms < self.last_ms.get(event.actor, 0) - _CLOCK_STEP_MS:
            self.set_back.add(event.actor)
        self.last_ms[event.actor] = event.time_ms
        self.first_ms = min(self.first_ms or event.time_ms, event.time_ms)

    def unannounced(self) -> list[str]:
        """Say who acts and never joined, which proves nothing."""
        unannounced = sorted(self.chains.keys() - self.joined.keys())
        return [f"the log does not say that {party} joined" for party in unannounced]

    def clocks(self) -> list[str]:
        """Say whose clock is odd, which proves nothing."""
        return [
            f"the clock of {actor} was set back by more than 5 minutes"
            for actor in sorted(self.set_back)
        ]


class _Audit:
    """The steps; each raises AuditError."""

    def __init__(self, files: ExportFiles, watch: Watch) -> None:
        self._files = files
        self._watch = watch

    @contextmanager
    def _step(self, step: str, place: str) -> Generator[None, None, None]:
        """Name the step and the place when something in it does not verify."""
        try:
            yield
        except KeysError as error:
            raise AuditError(
                step, error.what, party=error.party, place=f"{step}, {place}"
            ) from error

    def log_key(self, fingerprint: bytes | None) -> NoteKey:
        """Read whose log it is."""
        with self._step(LOG_KEY, LOG):
            key = read_log_document(self._files.read(LOG))
            found = key.key.fingerprint
            if fingerprint is not None and found != fingerprint:
                raise ProofError(f"the log is of key {found.hex()}, not the pinned one")
            owner_of(key)
        self._watch(LOG_KEY, 1, 1)
        return key

    def checkpoint(self, key: NoteKey) -> Checkpoint:
        """Verify what the log says about itself."""
        with self._step(HEAD, CHECKPOINT):
            head = open_checkpoint(decode_text(self._files.read(CHECKPOINT)), key)
        self._watch(HEAD, 1, 1)
        return head

    def witnesses(self, policy: LogPolicy | None, key: NoteKey) -> tuple[str, ...]:
        """Verify that the log is one that the policy believes; name who cosigned it."""
        if policy is None:
            return ()
        with self._step(WITNESSES, CHECKPOINT):
            note = decode_text(self._files.read(CHECKPOINT))
            cosigned = policy.open_by(key, note)
        self._watch(WITNESSES, 1, 1)
        return cosigned

    def older_checkpoint(
        self, older: str | None, key: NoteKey, head: Checkpoint
    ) -> Checkpoint | None:
        """Verify what the log said about itself before."""
        if older is None:
            return None
        with self._step(OLDER, "the file given"):
            old = open_checkpoint(older, key)
            if old.size > head.size:
                raise ProofError(
                    f"the log shrank from {old.size} to {head.size} entries"
                )
        return old

    def file_names(self, key: NoteKey, head: Checkpoint) -> set[str]:
        """Check that the export is complete and holds nothing else."""
        with self._step(FILES, "the export"):
            found = self._files.names()
            # The size is the log's word: do not name the tiles of an absurd one.
            if head.size > len(found) * WIDTH:
                raise ProofError(f"{len(found)} files cannot hold {head.size} entries")
            due = {*documents_of(key), *tile_names(head.size)}
            if due != found:
                odd = min(due ^ found)
                raise ProofError(
                    f"{odd!r} is {'missing' if odd in due else 'no file of this log'}"
                )
        self._watch(FILES, len(found), len(found))
        return found

    def tree(self, head: Checkpoint, old: Checkpoint | None) -> None:
        """Rebuild the tree, and with it all tiles, from the entries."""
        edge, tiles = Edge(), TileEdge()
        old_root = EMPTY_ROOT
        for bundle in bundles_of(head.size):
            self._watch(TREE, edge.size, head.size)
            hashes = [leaf_hash(leaf) for leaf in self._leaves(TREE, bundle)]
            if old and edge.size < old.size <= edge.size + len(hashes):
                old_root = edge.extend(hashes[: old.size - edge.size]).root()
            edge = edge.extend(hashes)
            tiles, changed = tiles.extend(hashes)
            for (level, number), data in changed.items():
                if len(data) == WIDTH * HASH_SIZE:
                    self._check_tile(Tile(level, number), data)
        for level, row in enumerate(tiles.rows):
            number, width = head.size >> HEIGHT * (level + 1), len(row) // HASH_SIZE
            if row:
                self._check_tile(Tile(level, number, width), row)
        self._watch(TREE, head.size, head.size)
        self._check_root(ROOT, edge.root(), head)
        if old:
            self._check_root(OLDER, old_root, old)

    def registry(self, key: NoteKey) -> Registry:
        """Verify who the parties are."""
        with self._step(PARTIES, REGISTRY):
            data = self._files.read(REGISTRY)
            registry = Registry.load(data, key.key.fingerprint)
        self._watch(PARTIES, 1, 1)
        return registry

    def events(self, head: Checkpoint, registry: Registry) -> _Seen:
        """Verify every event, and each actor's chain of events."""
        coordinator = registry.coordinator.name
        seen = self._read(head, coordinator, lambda leaf: open_event(leaf, registry))
        with self._step(JOINED, REGISTRY):
            for party, fingerprint in registry.fingerprints().items():
                if seen.joined.get(party, fingerprint) != fingerprint:
                    raise ProofError("it joined the log with another key", party=party)
        self._watch(JOINED, 1, 1)
        return seen

    def own_events(self, head: Checkpoint, owner: str, key: NoteKey) -> _Seen:
        """Verify every event of a party's own log, and their chain."""
        return self._read(head, "", lambda leaf: open_own_event(leaf, owner, key.key))

    def _read(
        self,
        head: Checkpoint,
        coordinator: str,
        verified: Callable[[bytes], OpenedEvent],
    ) -> _Seen:
        seen = _Seen()
        for bundle in bundles_of(head.size):
            start = bundle.number * WIDTH
            self._watch(SIGNATURES, start, head.size)
            for index, leaf in enumerate(self._leaves(SIGNATURES, bundle), start):
                place = f"entry {index} in {bundle.path}"
                with self._step(SIGNATURES, place):
                    opened = verified(leaf)
                with self._step(CHAINS, place):
                    seen.add(opened, coordinator)
        self._watch(SIGNATURES, head.size, head.size)
        self._watch(CHAINS, head.size, head.size)
        return seen

    def _leaves(self, step: str, bundle: Tile) -> list[bytes]:
        with self._step(step, bundle.path):
            return decode_bundle(self._files.read(bundle.path), bundle.width)

    def _check_tile(self, tile: Tile, expected: bytes) -> None:
        with self._step(TREE, tile.path):
            data = self._files.read(tile.path)
            if len(data) != len(expected):
                raise ProofError(f"the tile does not hold {tile.width} hashes")
            for at in range(tile.width):
                hash_at = slice(at * HASH_SIZE, (at + 1) * HASH_SIZE)
                if data[hash_at] != expected[hash_at]:
                    entry = (tile.number * WIDTH + at) << HEIGHT * (tile.level or 0)
                    raise ProofError(
                        f"hash {at} of the tile is not that of the entries from {entry}"
                        if tile.level
                        else f"entry {entry} is not the one whose hash is in the tile"
                    )

    def _check_root(self, step: str, root: bytes, signed: Checkpoint) -> None:
        with self._step(step, f"{signed.size} entries"):
            if root != signed.root:
                raise ProofError("the entries do not lead to the root that was signed")
        self._watch(step, 1, 1)
