"""Evidence of one score request or one training run, in one file.

It holds all events of the request or run, those that say under which keys, contract and
model they happened, the proof of each in one checkpoint, and the registry of the
parties. Whoever knows whose checkpoints count verifies it offline, years later
(``audit``), and needs neither the log nor anybody.

Everything in it is public: it says who asked whom, when, why, and by which model, and
not about whom. What was asked is a salted commitment whose opening its author keeps.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from veilscore.keys.documents import is_as_written, read_object
from veilscore.keys.errors import ProofError
from veilscore.keys.receiving import SCORE
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import ExportFiles
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import OpenedEvent, read_event
from veilscore.keys.tlog.export import (
    CHECKPOINT,
    LOG,
    REGISTRY,
    decode_text,
    read_log_document,
)
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.proof import inclusion_proof
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.search import Progress, entries_of, hashes_of
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import HASH_SIZE, split_hashes
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract

_PLACE = "evidence bundle"
_FORMAT = 1
_OF_COORDINATOR = {"run_opened", "run_closed", "sum_made"}


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """An event, and its proof in the bundle's checkpoint; nothing is verified yet."""

    opened: OpenedEvent
    proof: TlogProof


@dataclass(frozen=True, slots=True)
class EvidenceBundle:
    """What the file holds; nothing in it is verified yet."""

    correlation: str  # of the request or run that it is about
    log: NoteKey
    checkpoint: str
    registry: bytes
    events: tuple[ProvenEvent, ...]

    @classmethod
    def gather(
        cls,
        files: ExportFiles,
        correlation: str,
        progress: Progress = lambda _done, _total: None,
    ) -> "EvidenceBundle":
        """Collect from an export what belongs to a request or run.

        Raises:
            KeysError: the export cannot be read, or has no such request or run.

        """
        log = read_log_document(files.read(LOG))
        registry = Registry.load(files.read(REGISTRY), log.key.fingerprint)
        found = _Found(registry.coordinator.name)
        for entry in entries_of(files, progress):
            found.add(entry)
        note = decode_text(files.read(CHECKPOINT))
        size = open_checkpoint(note, log).size
        read = hashes_of(files, size)
        return cls(
            correlation,
            log,
            note,
            files.read(REGISTRY),
            tuple(
                ProvenEvent(
                    entry.opened,
                    TlogProof(
                        entry.index, inclusion_proof(entry.index, size, read), note
                    ),
                )
                for entry in found.about(correlation)
            ),
        )

    @property
    def data(self) -> bytes:
        """The content of the file."""
        body = {
            "format": _FORMAT,
            "correlation": self.correlation,
            "log": self.log.vkey,
            "checkpoint": self.checkpoint,
            "registry": decode_text(self.registry),
            "events": [
                {
                    "index": event.proof.index,
                    "leaf": event.opened.leaf.hex(),
                    "path": b"".join(event.proof.path).hex(),
                }
                for event in self.events
            ],
        }
        return json.dumps(body, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "EvidenceBundle":
        """Read what ``data`` writes, and only that.

        Raises:
            KeysError: anything else.

        """
        fields = read_object(data, _PLACE)
        if fields.number("format") != _FORMAT:
            raise ProofError(f"only format {_FORMAT} can be read", place=_PLACE)
        checkpoint = fields.text("checkpoint")
        events: list[ProvenEvent] = []
        for each in fields.objects("events"):
            joined = each.octets("path")
            if len(joined) % HASH_SIZE:
                raise ProofError("a path is cut off", place=_PLACE)
            path = tuple(split_hashes(joined))
            proof = TlogProof(each.number("index"), path, checkpoint)
            events.append(ProvenEvent(read_event(each.octets("leaf")), proof))
            each.end()
        bundle = cls(
            fields.text("correlation"),
            NoteKey.parse(fields.text("log")),
            checkpoint,
            fields.text("registry").encode(),
            tuple(events),
        )
        fields.end()
        if bundle.data != data or not is_as_written(bundle.registry, _PLACE):
            raise ProofError("the file has a second spelling", place=_PLACE)
        return bundle


@dataclass(slots=True)
class _Found:
    """The events of a log that bundles are made of.

    Any party may write about any request: what is not for it to say is left out, or one
    event of a stranger would spoil the evidence of others.
    """

    coordinator: str
    by_correlation: dict[str, list[Entry]] = field(
        default_factory=lambda: defaultdict[str, list[Entry]](list)
    )
    joined: dict[str, Entry] = field(default_factory=dict[str, Entry])  # by party
    score_keys: dict[str, list[Entry]] = field(
        default_factory=lambda: defaultdict[str, list[Entry]](list)
    )
    models: dict[bytes, list[Entry]] = field(
        default_factory=lambda: defaultdict[bytes, list[Entry]](list)
    )

    def add(self, entry: Entry) -> None:
        """Take the next entry of the log."""
        event, kind = entry.opened.event, entry.opened.kind
        if event.correlation:
            self.by_correlation[event.correlation].append(entry)
        if kind == "party_joined" and event.actor == self.coordinator:
            self.joined[event.party_joined.party] = entry
        elif kind == "key_published" and event.key_published.purpose == SCORE:
            self.score_keys[event.actor].append(entry)
        elif kind == "model_registered":
            self.models[event.model_registered.model].append(entry)

    def about(self, correlation: str) -> Sequence[Entry]:
        """Return what belongs to a request or run, in the order of the log."""
        if opened := self._opened(correlation):
            own = self._of_run(opened)
        else:
            own = [*self._of_request(correlation)]
        if not own:
            raise ProofError(
                f"the log has no request or run {correlation[:64]!r}",
                remedy="Name a run, or a request as `veilscore audit search --kind "
                "score_requested` lists it.",
            )
        wanted = {entry.index: entry for entry in own}
        actors = {entry.opened.event.actor for entry in own} | {self.coordinator}
        for actor in actors & self.joined.keys():
            wanted[self.joined[actor].index] = self.joined[actor]
        return [wanted[index] for index in sorted(wanted)]

    def _opened(self, run: str) -> Entry | None:
        """Return the coordinator's event that opened a run."""
        return next(
            (
                each
                for each in self.by_correlation.get(run, [])
                if each.opened.kind == "run_opened"
                and each.opened.event.actor == self.coordinator
            ),
            None,
        )

    def _of_run(self, opened: Entry) -> list[Entry]:
        roster = _roster(opened)
        return [
            each
            for each in self.by_correlation[opened.opened.event.correlation]
            if each.opened.event.actor
            in ({self.coordinator} if each.opened.kind in _OF_COORDINATOR else roster)
        ]

    def _of_request(self, correlation: str) -> Iterator[Entry]:
        """Yield a request, what its holders said, and what stands behind it."""
        about = self.by_correlation.get(correlation, [])
        request = next((e for e in about if e.opened.kind == "score_requested"), None)
        if request is None:
            return
        event = request.opened.event
        yield request
        for each in about:
            asked = each.opened.event.actor in event.score_requested.holders
            if asked and each.opened.kind in {"score_decided", "score_answered"}:
                yield each
        keys = self.score_keys[event.actor]
        yield from [key for key in keys if key.index < request.index][-1:]
        yield from self._of_model(event.score_requested.model)

    def _of_model(self, model: bytes) -> Iterator[Entry]:
        """Yield who registered a model, and the run that made it."""
        for registered in self.models[model]:
            manifest = registered.opened.event.model_registered.manifest
            if hashlib.sha256(manifest).digest() != model:
                continue
            opened = self._opened(_run_of(manifest))
            if opened and registered.opened.event.actor in _roster(opened):
                yield registered
                yield opened


def _run_of(manifest: bytes) -> str:
    decoded = ModelManifest()
    try:
        decoded.ParseFromString(manifest)
    except DecodeError:
        return ""  # its hash is a model's all the same, which the audit will say
    return decoded.run


def _roster(opened: Entry) -> set[str]:
    contract = RunContract()
    try:
        contract.ParseFromString(opened.opened.event.run_opened.contract_body)
    except DecodeError:
        return set()
    return {entry.party for entry in contract.roster}


def is_bundle(beginning: bytes) -> bool:
    """Say whether a file that begins so is a bundle rather than an export."""
    return beginning.startswith(b"{")
