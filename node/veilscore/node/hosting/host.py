"""The hosting core: which queries for hosted scores are answered, and with what.

The holder learns who asks, for which purpose, under which consent and about how many
applicants. Of their features it sees ciphertexts under the requester's key. The
requester learns the scores, and with a made-up query at most the bits that it is
charged (see ``models.padded_batch``); the holder cannot tell such a query from an
honest one.

The requester's key carries the proof that x -> x^n permutes Z_n*, without which neither
padding nor re-randomisation would hide anything (eprint 2018/057).

No file, socket, clock or arithmetic on ciphertexts here: ``serving`` is the edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import PeerKeys, ReceivingKeys
from veilscore.keys.registry import PartyRecord
from veilscore.models.padded_batch import Batch
from veilscore.node.hosting.cards import Hosted
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.scoring.checks import (
    check_freshness,
    check_keys,
    check_modulus,
    check_sender,
    check_terms,
)
from veilscore.node.scoring.refusals import QueryRefusedError, Reason


@dataclass(frozen=True, slots=True)
class HostSituation:
    """What a data holder knows when a query arrives."""

    party: str
    sender: PartyRecord  # whose signature the envelope bears
    hosted: Hosted | None
    keys: Mapping[bytes, ReceivingKeys]  # its own, by digest
    peers: Mapping[str, PeerKeys]  # verified, by name
    nonce_seen: bool
    spent: int  # bits that the sender may have got of the card
    now: float


@dataclass(frozen=True, slots=True)
class AcceptedHostedQuery:
    """A query that passed every check, and what it takes to answer it."""

    query: HostedQuery = field(repr=False)
    hosted: Hosted
    public: PublicKey
    batch: Batch
    ciphertexts: Sequence[int] = field(repr=False)

    @property
    def plaintexts(self) -> list[Sequence[int]]:
        """The encrypted inputs of each plaintext of applicants."""
        inputs = self.hosted.card.form.inputs
        return [
            self.ciphertexts[start : start + inputs]
            for start in range(0, len(self.ciphertexts), inputs)
        ]

    def paddings(self) -> list[int]:
        """Return what is added to the encrypted sums; fresh at every call."""
        return self.batch.paddings(self.hosted.card.intercept)


def accept(query: HostedQuery, situation: HostSituation) -> AcceptedHostedQuery:
    """Return the accepted query, or raise QueryRefusedError with the first reason."""
    body, hosted = query.body, situation.hosted
    check_sender(situation.sender, body.requester)
    if hosted is None:
        raise QueryRefusedError(Reason.UNKNOWN_CARD)
    check_terms(hosted.terms, body.requester, body.purpose)
    check_freshness(
        body.asked, body.deadline, situation.now, nonce_seen=situation.nonce_seen
    )
    names = (situation.party, body.requester)
    listed = dict(zip(names, body.receiving_keys, strict=True))
    check_keys(listed, situation.party, situation.keys, situation.peers)
    if body.applicants > hosted.terms.max_applicants:
        raise QueryRefusedError(Reason.TOO_MANY_ENTITIES)
    public = check_modulus(situation.peers[body.requester], body.modulus)
    form = hosted.card.form
    batch = Batch(public.n, form.bits, body.applicants)
    try:
        expected = form.inputs * len(batch.sizes)
        ciphertexts = public.decode(body.ciphertexts, expected)
    except InvalidCiphertextError as error:
        raise QueryRefusedError(Reason.BAD_CIPHERTEXTS) from error
    if situation.spent + batch.charge > hosted.terms.budget_bits:
        raise QueryRefusedError(Reason.BUDGET_SPENT)
    return AcceptedHostedQuery(query, hosted, public, batch, ciphertexts)
