"""Evidence that a party broke the rules of secure aggregation, for everybody to read.

What it proves to everybody: the keys that it names have signed its statements. Whether
those are the parties' keys, the registry says; how and in which order the statements
arrived is the word of the finder, which signs the file. Some breaches leave none.

The file holds names, public keys and what was signed: keys, commitments, sealed shares
and digests of vectors, none of which shows a vector.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from veilscore.keys.aggregation.terms import Pinned, Terms
from veilscore.keys.aggregation.wire import Statement, read_evidence
from veilscore.keys.documents import Fields, open_document, read_object, sign_document
from veilscore.keys.errors import Breach, KeysError, MisconductError, ProofError
from veilscore.keys.identity import EVIDENCE_DOMAIN, Signer, VerifyKey

_PLACE: Final = "evidence"
_LATEST_S: Final = 4_102_444_800  # 2100: no evidence is found later
_MOST: Final = 3 << 20  # bytes of statements in base64; a document has 4 MiB


@dataclass(frozen=True, slots=True)
class MisconductEvidence:
    """What such a file shows; ``load`` has verified all signatures."""

    breach: Breach
    what: str
    accused: str  # names, the word of the finder
    place: str
    terms: Terms  # the parties, their keys and the contract; of no certain attempt
    statements: tuple[Statement, ...]
    omitted: int  # statements that were too long for the file
    finder: str  # name of the party, its own word
    key: VerifyKey  # that signed the file
    found_s: int  # seconds since 1970, on the clock of the finder

    @staticmethod
    def sign(
        error: MisconductError,
        run: str,
        contract: bytes,
        roster: Sequence[Pinned],
        aggregator: Pinned,
        *,
        finder: str,
        signer: Signer,
        found_s: int,
    ) -> bytes:
        """Return the file; ``contract`` is the SHA-256 of the run's contract."""
        kept = [*_fitting(error.evidence)]
        body = {
            "breach": str(error.breach),
            "what": error.what,
            "accused": error.party,
            "place": error.place,
            "run": run,
            "contract": contract.hex(),
            "members": [_written(party) for party in roster],
            "aggregator": [_written(aggregator)],
            "statements": kept,
            "omitted": len(error.evidence) - len(kept),
            "finder": finder,
            "found": found_s,
        }
        return sign_document(body, EVIDENCE_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes) -> "MisconductEvidence":
        """Verify and read the file.

        Raises:
            ProofError: it is of no breach, no aggregation or an impossible time.
            UnheardError: the parties that it names did not sign its statements.
            KeysError: not what its finder wrote.

        """
        fields, key = open_document(data, EVIDENCE_DOMAIN, _PLACE, None)
        terms = _terms(fields)
        evidence = cls(
            breach=_breach(fields.text("breach")),
            what=fields.text("what"),
            accused=fields.text("accused"),
            place=fields.text("place"),
            terms=terms,
            statements=tuple(
                read_evidence(_octets(text), terms)
                for text in fields.texts("statements")
            ),
            omitted=fields.number("omitted"),
            finder=fields.text("finder"),
            key=key,
            found_s=fields.number("found"),
        )
        fields.end()
        if not 0 <= evidence.found_s < _LATEST_S:
            raise ProofError("the evidence is of an impossible time", place=_PLACE)
        return evidence


def is_about_sums(data: bytes) -> bool:
    """Say whether a file is about secure aggregation."""
    try:
        read_object(data, _PLACE).text("breach")
    except KeysError:
        return False
    return True


def _fitting(statements: Iterable[bytes]) -> Iterable[str]:
    left = _MOST
    for statement in statements:
        text = b64encode(statement).decode()
        if len(text) <= left:
            left -= len(text)
            yield text


def _written(party: Pinned) -> dict[str, str]:
    return {"name": party.name, "key": party.key.raw.hex()}


def _pinned(fields: Fields) -> Pinned:
    party = Pinned(fields.text("name"), VerifyKey(fields.octets("key", 32)))
    fields.end()
    return party


def _only(found: Sequence[Fields]) -> Fields:
    if len(found) != 1:
        raise ProofError("the evidence is of no one aggregator", place=_PLACE)
    return found[0]


def _terms(fields: Fields) -> Terms:
    """Return terms by which statements of any attempt at any sum are read."""
    try:
        return Terms(
            run=fields.text("run"),
            round=1,
            attempt=1,
            roster=tuple(map(_pinned, fields.objects("members"))),
            aggregator=_pinned(_only(fields.objects("aggregator"))),
            contract=fields.octets("contract"),
            length=1,
        )
    except ValueError as error:
        raise ProofError(
            f"the evidence is of no aggregation: {error}", place=_PLACE
        ) from error


def _breach(word: str) -> Breach:
    try:
        return Breach(word)
    except ValueError as error:
        raise ProofError("the evidence is of no breach", place=_PLACE) from error


def _octets(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ProofError("a statement is not in base64", place=_PLACE) from error
