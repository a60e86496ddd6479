"""What a party shows an auditor of one request, in one file that it has signed.

The log holds salted commitments to the terms of a request and to each of its entities.
The party that made them, a requester or a data holder, opens the terms, and one entity
if the auditor asks about that one, with the proof of its place. Nothing in the file
tells of another entity, but how many there are. Who has the file knows what it shows:
it names a person.

Beside it stand the events that registered the consent, if one did, each with the log's
proof under a checkpoint of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from veilscore.keys.documents import Fields, open_document, sign_document
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import OPENING_DOMAIN, Signer, VerifyKey
from veilscore.keys.tlog.commitments import Opening, Shown
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.evidence.bundle import ProvenEvent
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import HASH_SIZE, split_hashes

_PLACE: Final = "opening file"


@dataclass(frozen=True, slots=True, repr=False)
class OpeningFile:
    """What the file holds; nothing in it is verified yet but its signature."""

    party: str  # which shows it
    request: str  # correlation of its events
    terms: Opening
    entities: tuple[Shown, ...]
    consents: tuple[ProvenEvent, ...]

    def sign(self, signer: Signer) -> bytes:
        """Return the content of the file."""
        body: dict[str, object] = {
            "kind": "opening",
            "party": self.party,
            "request": self.request,
            "terms": _written(self.terms),
            "entities": [
                {
                    **_written(each.opening),
                    "index": each.index,
                    "path": b"".join(each.path).hex(),
                }
                for each in self.entities
            ],
            "consents": [
                {
                    "leaf": each.opened.leaf.hex(),
                    "index": each.proof.index,
                    "path": b"".join(each.proof.path).hex(),
                    "checkpoint": each.proof.checkpoint,
                }
                for each in self.consents
            ],
        }
        return sign_document(body, OPENING_DOMAIN, signer)

    @classmethod
    def read(cls, data: bytes) -> tuple[Self, VerifyKey]:
        """Read a file, and return it with the key that has signed it.

        Raises:
            KeysError: not what ``sign`` writes, or not signed.

        """
        fields, key = open_document(data, OPENING_DOMAIN, _PLACE, None)
        if fields.text("kind") != "opening":
            raise ProofError("this is no opening file", place=_PLACE)
        terms = fields.mapping("terms")
        opening = Fields(terms, _PLACE)
        found = cls(
            fields.text("party"),
            fields.text("request"),
            _opening(opening),
            tuple(_shown(each) for each in fields.objects("entities")),
            tuple(_proven(each) for each in fields.objects("consents")),
        )
        opening.end()
        fields.end()
        return found, key


def _written(opening: Opening) -> Mapping[str, str]:
    return {"salt": opening.salt.hex(), "data": opening.data.hex()}


def _opening(fields: Fields) -> Opening:
    return Opening(fields.octets("salt", HASH_SIZE), fields.octets("data"))


def _path(fields: Fields) -> tuple[bytes, ...]:
    joined = fields.octets("path")
    if len(joined) % HASH_SIZE:
        raise ProofError("a path is cut off", place=_PLACE)
    return tuple(split_hashes(joined))


def _shown(fields: Fields) -> Shown:
    found = Shown(_opening(fields), fields.number("index"), _path(fields))
    fields.end()
    return found


def _proven(fields: Fields) -> ProvenEvent:
    proof = TlogProof(fields.number("index"), _path(fields), fields.text("checkpoint"))
    found = ProvenEvent(read_event(fields.octets("leaf")), proof)
    fields.end()
    return found
