"""Evidence that a party broke the rules of secure aggregation: what it signed itself.

The file holds the terms of the attempt, under which anybody verifies the statements,
and the statements: one that no honest party signs, or two that none signs both of.
Whoever found it signs the file, so that it says since when it was known, and says in
its own words what is wrong with them. Vectors are not in it, only their digests.

The file is meant to be shown to everybody.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from veilscore.keys.aggregation.terms import Pinned, Terms
from veilscore.keys.aggregation.wire import Statement, read_evidence
from veilscore.keys.documents import Fields, open_document, sign_document
from veilscore.keys.errors import Breach, MisconductError, ProofError
from veilscore.keys.identity import EVIDENCE_DOMAIN, Signer, VerifyKey

_PLACE: Final = "evidence"
_LATEST_S: Final = 4_102_444_800  # 2100: no evidence is found later
_KEY: Final = 32


@dataclass(frozen=True, slots=True)
class MisconductEvidence:
    """Statements that verified under the terms, and who found them when."""

    terms: Terms
    breach: Breach
    party: str  # who broke the rules; like breach and what, the finder's word
    what: str
    statements: tuple[Statement, ...]
    finder: str
    key: VerifyKey  # that signed the file
    found_s: int  # seconds since 1970, on the clock of the finder

    @staticmethod
    def sign(
        terms: Terms, error: MisconductError, finder: str, signer: Signer, found_s: int
    ) -> bytes:
        """Return the file that shows what was found."""
        body = {
            "breach": str(error.breach),
            "party": error.party,
            "what": error.what,
            "run": terms.run,
            "round": terms.round,
            "attempt": terms.attempt,
            "roster": [_written(party) for party in terms.roster],
            "aggregator": [_written(terms.aggregator)],
            "contract": terms.contract.hex(),
            "length": terms.length,
            "colluders": terms.colluders,
            "statements": [base64.b64encode(each).decode() for each in error.evidence],
            "finder": finder,
            "found": found_s,
        }
        return sign_document(body, EVIDENCE_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes) -> "MisconductEvidence":
        """Verify and read the file; whether the keys are the parties' is not in it.

        Raises:
            UnheardError: nobody of the terms signed these statements.
            ProofError: the terms are none.
            RegistryError, SignatureError, InvalidKeyError: not what its finder wrote.

        """
        fields, key = open_document(data, EVIDENCE_DOMAIN, _PLACE, None)
        try:
            terms = _terms(fields)
            breach = Breach(fields.text("breach"))
            said = [
                base64.b64decode(text, validate=True)
                for text in fields.texts("statements")
            ]
        except (ValueError, binascii.Error) as error:
            raise ProofError(
                "this is no evidence of an aggregation", place=_PLACE
            ) from error
        evidence = cls(
            terms,
            breach,
            fields.text("party"),
            fields.text("what"),
            tuple(read_evidence(each, terms) for each in said),
            fields.text("finder"),
            key,
            fields.number("found"),
        )
        fields.end()
        if not said or not 0 <= evidence.found_s < _LATEST_S:
            raise ProofError(
                "the evidence is empty, or of an impossible time", place=_PLACE
            )
        return evidence


def _written(party: Pinned) -> dict[str, str]:
    return {"name": party.name, "key": party.key.raw.hex()}


def _pinned(fields: Fields) -> Pinned:
    pinned = Pinned(fields.text("name"), VerifyKey(fields.octets("key", _KEY)))
    fields.end()
    return pinned


def _terms(fields: Fields) -> Terms:
    """Return the terms; raises ValueError where they are none."""
    (aggregator,) = fields.objects("aggregator")
    return Terms(
        run=fields.text("run"),
        round=fields.number("round"),
        attempt=fields.number("attempt"),
        roster=tuple(_pinned(party) for party in fields.objects("roster")),
        aggregator=_pinned(aggregator),
        contract=fields.octets("contract"),
        length=fields.number("length"),
        colluders=fields.number("colluders"),
    )
