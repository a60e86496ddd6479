"""Verifies one entry of the log, step by step, for an auditor to follow.

The verdicts are those of ``keys.tlog``; this module only puts them in order. A page
that the coordinator serves is the coordinator's word all the same: the auditor's own
proof is the downloaded one, checked by a program of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from veilscore.coordinator.log import LogService
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import ActorHead, open_event
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import leaf_hash, node_hash, split
from veilscore.runtime.web.language import gettext_noop

_Facts = tuple[tuple[str, str], ...]  # what it is, and its value
_Step = tuple[str, Callable[[], _Facts]]


@dataclass(frozen=True, slots=True)
class Check:
    """One step: what was checked and found, or why it failed."""

    title: str
    found: _Facts = ()
    failed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Climb:
    """One hash of the audit path, and the node that it leads to; hashes in hex."""

    sibling: str
    on_left: bool
    node: str


def verify_entry(
    entry: Entry, log: LogService, key: NoteKey, proof: TlogProof
) -> list[Check]:
    """Return every step, up to and including the first that fails."""
    leaf = entry.opened.leaf

    def signature() -> _Facts:
        actor = open_event(leaf, log.registry).event.actor
        fingerprint = log.registry.party(actor).key.fingerprint
        return ((gettext_noop("Key fingerprint"), fingerprint.hex()),)

    def chain() -> _Facts:
        event = entry.opened.event
        earlier = log.events(actor=event.actor, before=entry.index, limit=1)
        head = earlier[0].opened.head if earlier else ActorHead()
        head.check_next(event)
        return (
            (gettext_noop("Number in the actor's chain"), str(event.seq)),
            (gettext_noop("Hash of the actor's previous event"), head.digest.hex()),
        )

    def checkpoint() -> _Facts:
        head = open_checkpoint(proof.checkpoint, key)
        return (
            (gettext_noop("Entries"), str(head.size)),
            (gettext_noop("Root of the tree"), head.root.hex()),
        )

    def inclusion() -> _Facts:
        proof.verify(leaf, key)
        return ((gettext_noop("Hash of the entry"), leaf_hash(leaf).hex()),)

    steps: list[_Step] = [
        (
            gettext_noop("The actor's registered key signed exactly these bytes"),
            signature,
        ),
        (gettext_noop("The event continues its actor's chain"), chain),
        (gettext_noop("The log's key signed the checkpoint"), checkpoint),
        (gettext_noop("The audit path leads from the entry to its root"), inclusion),
    ]
    checks: list[Check] = []
    for title, step in steps:
        try:
            checks.append(Check(title, step()))
        except ProofError as error:
            checks.append(Check(title, failed=True, reason=error.what))
            break
    return checks


def climb(leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> list[Climb]:
    """Return the nodes on the way from a leaf to the root of a tree of ``size``.

    Follows the recursive definition of RFC 6962, section 2.1.1; it is only right for a
    path that was verified.
    """
    on_left: list[bool] = []
    while size > 1:
        middle = split(size)
        on_left.append(index >= middle)
        if index >= middle:
            index, size = index - middle, size - middle
        else:
            size = middle
    node = leaf_hash(leaf)
    steps: list[Climb] = []
    for sibling, left in zip(path, reversed(on_left), strict=True):
        node = node_hash(sibling, node) if left else node_hash(node, sibling)
        steps.append(Climb(sibling.hex(), left, node.hex()))
    return steps
