"""Consents that this node has collected: registered, withdrawn, asked before a query.

The log says that a consent was registered, for what and until when, under tags that
nobody can link to a person: HMAC-SHA256 under a key of the keystore over a nonce that
is kept here, sealed like an opening and erased like one. Whether a reference that is
not registered may be asked under is a setting; one that is registered counts only for
its entities, its purposes and its time.

A consent is asked again before scores are decrypted and before they are handed out: one
that was withdrawn meanwhile keeps them from being seen.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from veilscore.fault import Fault
from veilscore.keys.key_tree import first_leaves, leaf
from veilscore.keys.tlog.commitments import Opening
from veilscore.keys.tlog.events import read_event
from veilscore.node.errors import ConsentError, UnknownConsentError
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.openings import Openings
from veilscore.v1.audit_pb2 import ConsentRegistered, ConsentWithdrawn

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS consent (
    at INTEGER PRIMARY KEY, tree INTEGER NOT NULL UNIQUE, seq INTEGER NOT NULL,
    until INTEGER NOT NULL, withdrawn INTEGER NOT NULL, sealed BLOB NOT NULL
) STRICT"""
_COLUMNS: Final = "tree, seq, until, withdrawn, sealed"
_TYPES: Final = (int, int, int, int, bytes)
_ABOUT: Final = b"consent"
_BODY, _DOCUMENT, _REGISTERED, _WITHDRAWN = range(4)  # leaves of a tree
_LEAVES: Final = 4


@dataclass(frozen=True, slots=True)
class Consent:
    """A registered consent; times are seconds since 1970."""

    reference: str = field(repr=False)
    entity: str = field(repr=False)  # typed id
    purposes: tuple[str, ...]
    until: int
    withdrawn: int  # 0: it is not
    event: int  # number of this node's event that registered it
    tree: int = field(repr=False)

    def flaw(self, purpose: str, now: float) -> str:
        """Return why this consent does not allow a request; empty: it does."""
        if self.withdrawn:
            return "the consent was withdrawn"
        if self.until < now:
            return "the consent has expired"
        if purpose not in self.purposes:
            return "the consent is for another purpose"
        return ""


class Consents:
    """Consents in the node's file; safe to use from any thread."""

    def __init__(
        self, openings: Openings, receipts: Receipts, *, registered_only: bool
    ) -> None:
        self._db = openings.database
        self._openings = openings
        self._shredder = openings.shredder
        self._receipts = receipts
        self._registered_only = registered_only
        self._db.run(_SCHEMA)

    def register(
        self,
        reference: str,
        entity: str,
        purposes: Sequence[str],
        until: int,
        document: bytes,
        now: float,
    ) -> int:
        """Keep a consent and say so in the log; return the number of the event."""
        with self._db.transaction():
            tree, root = self._shredder.take(now)
            keys = first_leaves(root, _LEAVES)
            nonce = keys[_REGISTERED].salt
            event = ConsentRegistered(
                consent=self._tag(nonce, "consent", reference),
                subject=self._tag(nonce, "subject", entity),
                purposes=sorted({*purposes}),
                until=until,
                document=Opening(keys[_DOCUMENT].salt, document).commitment,
            )
            body = json.dumps([reference, entity, sorted({*purposes})]).encode()
            self._shredder.note_consent(
                tree, self._openings.tag(_named(reference)), self._openings.tag(entity)
            )
            written = self._receipts.write(event, correlation="")
            seq = read_event(written).event.seq
            self._db.run(
                f"INSERT INTO consent ({_COLUMNS}) VALUES (?, ?, ?, 0, ?)",  # noqa: S608 - columns of this module
                tree,
                seq,
                until,
                keys[_BODY].seal(body, _ABOUT),
            )
        self._prove(written)
        return seq

    def withdraw(self, reference: str, entity: str, now: float) -> int:
        """Let a consent no longer count; return how many registrations it had.

        Raises UnknownConsentError if there is none that counts.
        """
        with self._db.transaction():
            found = [
                each
                for each in self.under(reference)
                if each.entity == entity and not each.withdrawn
            ]
            if not found:
                raise UnknownConsentError(
                    "no such consent is registered here, or it was withdrawn",
                    remedy="Compare reference and entity with: veilscore node consent "
                    "list",
                )
            events: list[ConsentWithdrawn] = []
            for each in found:
                key = leaf(self._shredder.nodes(each.tree), _WITHDRAWN)
                nonce = key.salt if key else b""
                events.append(
                    ConsentWithdrawn(
                        registered=each.event,
                        consent=self._tag(nonce, "consent", reference),
                        subject=self._tag(nonce, "subject", entity),
                    )
                )
                statement = "UPDATE consent SET withdrawn = ? WHERE tree = ?"
                self._db.run(statement, int(now), each.tree)
            written = self._receipts.write(*events, correlation="")
        self._prove(written)
        return len(found)

    def check(
        self, reference: str, entities: Sequence[str], purpose: str, now: float
    ) -> dict[str, int]:
        """Return the numbers of the events that registered the consent, by entity.

        None: the reference is not registered. Without ``entities``, as in a hosted
        query, which names nobody, one consent that counts is enough.

        Raises ConsentError if the request may not be made under it.
        """
        found = self.under(reference)
        if not found:
            if self._registered_only:
                raise ConsentError(
                    "this consent is not registered here",
                    remedy="Register it with: veilscore node consent register",
                )
            return {}
        good = [each for each in found if not each.flaw(purpose, now)]
        counts = {each.entity: each.event for each in good}
        wanted = [*entities] or [each.entity for each in found][: not counts]
        for number, entity in enumerate(wanted, start=1):
            if entity not in counts:
                own = [each for each in found if each.entity == entity]
                raise ConsentError(
                    own[-1].flaw(purpose, now)
                    if own
                    else "the consent is of another entity",
                    place=f"entity {number}" if entities else "",
                    remedy="Ask under a consent that is valid for this.",
                )
        return {each: counts[each] for each in entities} if entities else counts

    def under(self, reference: str) -> list[Consent]:
        """Return the consents of a reference, the oldest first."""
        tag = self._openings.tag(_named(reference))
        return self._of(self._shredder.consents(tag))

    def about(self, entity: str) -> list[Consent]:
        """Return the consents of an entity."""
        tag = self._openings.tag(entity)
        return self._of(tree for tree, _ in self._shredder.find(tag))

    def all(self) -> list[Consent]:
        """Return every consent that was not erased, the oldest first."""
        return self._rows("")

    def over_before(self, time: float) -> list[Consent]:
        """Return those that had expired or were withdrawn before a time."""
        clause = "WHERE until < ? OR (withdrawn > 0 AND withdrawn < ?)"
        return self._rows(clause, int(time), int(time))

    def forget(self, tree: int) -> int:
        """Delete what was sealed under a destroyed tree; return how many there were."""
        return self._db.run("DELETE FROM consent WHERE tree = ?", tree)

    def trees(self) -> set[int]:
        """Return the trees in use."""
        return {tree for (tree,) in self._db.rows((int,), "SELECT tree FROM consent")}

    def _of(self, trees: Iterable[int]) -> list[Consent]:
        found = [each for tree in trees for each in self._rows("WHERE tree = ?", tree)]
        return sorted(found, key=lambda each: each.event)

    def _rows(self, which: str, *bound: object) -> list[Consent]:
        query = f"SELECT {_COLUMNS} FROM consent {which} ORDER BY at"  # noqa: S608 - clauses of this module
        rows = self._db.rows(_TYPES, query, *bound)
        return [each for row in rows for each in self._opened(*row)]

    def _opened(
        self, tree: int, seq: int, until: int, withdrawn: int, sealed: bytes
    ) -> Iterator[Consent]:
        key = leaf(self._shredder.nodes(tree), _BODY)
        if key is not None:  # else it is being erased
            reference, entity, purposes = json.loads(key.open(sealed, _ABOUT))
            yield Consent(
                reference, entity, tuple(purposes), until, withdrawn, seq, tree
            )

    def _tag(self, nonce: bytes, kind: str, value: str) -> bytes:
        return self._openings.mac(nonce + f"{kind}\0{value}".encode())

    def _prove(self, written: bytes) -> None:
        """Have the log hold it, if it can be reached; else it is sent later."""
        with suppress(Fault):
            self._receipts.prove(written)


def _named(reference: str) -> str:
    """Return what a reference is found by; no typed id begins so."""
    return f"consent\0{reference}"
