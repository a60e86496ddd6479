"""The answering core: which queries a data holder answers, and with what.

The holder learns which entities a requester asks about, for which purpose and under
which consent. The requester gets a vector of residues that is uniform on its own; the
vectors of all holders add up to packed joint scores (masks: Bonawitz et al., CCS 2017,
without recovery). Requester and all holders but one together can always isolate the
last.

Of a whole model one holder alone gives the score. Two things are not hidden.
Where one holder answers alone, as it does for a whole model, there is nobody to share a
mask with: the requester learns that holder's partial scores, which is why it takes
``allow_two_party``. And an entity that only one holder knows gets its partial score
plus what the others' cards give to unknown entities, a constant, unless the model's
contract was ``known_to_all``: then each that does not know it adds a random number,
which hides a partial score of up to 1,000 points to within 2^-15 and shows the
requester roughly how many do not know it.

No file, socket, clock or encryption here: ``answering`` is the edge.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from veilscore.keys.errors import EntityIdError, InvalidKeyError
from veilscore.keys.masks import pair_secret, zero_sum_residues
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import PeerKeys, ReceivingKeys
from veilscore.keys.registry import PartyRecord
from veilscore.models.scorecard import KNOWN_TO_ALL, Card
from veilscore.models.vertical.layout import HIDING, SCORE_LIMIT, ScoreLayout
from veilscore.node.scoring.checks import (
    check_freshness,
    check_keys,
    check_modulus,
    check_sender,
    check_terms,
)
from veilscore.node.scoring.query import Query, canonical_ids
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.shelf import ShelvedModel

_LABEL = "score"  # of the masks; the query's digest makes each stream a new one


@dataclass(frozen=True, slots=True)
class Situation:
    """What a data holder knows when a query arrives."""

    party: str
    settings: ScoringSettings
    sender: PartyRecord  # whose signature the envelope bears
    model: ShelvedModel | None
    keys: Mapping[bytes, ReceivingKeys]  # its own, by digest
    peers: Mapping[str, PeerKeys]  # verified, by name
    nonce_seen: bool
    now: float


@dataclass(frozen=True, slots=True)
class AcceptedQuery:
    """A query that passed every check, and what it takes to answer it."""

    query: Query = field(repr=False)
    party: str
    card: Card = field(repr=False)
    public: PublicKey
    pair_secrets: Mapping[str, bytes] = field(repr=False)

    def plaintexts(self, points: Sequence[int], known: Sequence[bool]) -> list[int]:
        """Pack and mask partial scores: residues modulo the requester's n.

        If the model scores entities only that all holders know, what is not ``known``
        is hidden by a number so large that no score is like it.
        """
        n = self.public.n
        if self.card.parameters.get(KNOWN_TO_ALL):
            points = [
                value if here else HIDING + secrets.randbelow(SCORE_LIMIT - HIDING)
                for value, here in zip(points, known, strict=True)
            ]
        packed = ScoreLayout.plan(n).pack(points)
        masks = zero_sum_residues(self.party, self.pair_secrets, _LABEL, len(packed), n)
        return [(value + mask) % n for value, mask in zip(packed, masks, strict=True)]


def accept(query: Query, situation: Situation) -> AcceptedQuery:
    """Return the accepted query, or raise QueryRefusedError with the first reason."""
    body, settings = query.body, situation.settings
    check_sender(situation.sender, body.requester)
    card = _check_model(query, situation)
    check_terms(settings, body.requester, body.purpose)
    check_freshness(
        body.asked, body.deadline, situation.now, nonce_seen=situation.nonce_seen
    )
    names = (*body.holders, body.requester)
    listed = dict(zip(names, body.receiving_keys, strict=True))
    own = check_keys(listed, situation.party, situation.keys, situation.peers)
    _check_entities(query, settings.max_entities)
    public = check_modulus(situation.peers[body.requester], body.modulus)
    if len(body.holders) == 1 and not settings.allow_two_party:
        raise QueryRefusedError(Reason.TWO_PARTY)
    shared = _pair_secrets(query, situation, own)
    return AcceptedQuery(query, situation.party, card, public, shared)


def _check_model(query: Query, situation: Situation) -> Card:
    model = situation.model
    if model is None or model.card is None or model.card.holder != situation.party:
        raise QueryRefusedError(Reason.UNKNOWN_MODEL)
    asked, requester = list(query.body.holders), query.body.requester
    others = [name for name in model.holders if name != requester]
    expected = [situation.party] if model.whole else others
    if asked != expected or situation.party not in others:
        raise QueryRefusedError(Reason.WRONG_HOLDERS)
    return model.card


def _check_entities(query: Query, limit: int) -> None:
    entities = list(query.body.entities)
    if len(entities) > limit:
        raise QueryRefusedError(Reason.TOO_MANY_ENTITIES)
    try:
        canonical = canonical_ids(entities)
    except EntityIdError as error:
        raise QueryRefusedError(Reason.BAD_ENTITIES) from error
    if not entities or canonical != entities:
        raise QueryRefusedError(Reason.BAD_ENTITIES)


def _pair_secrets(
    query: Query, situation: Situation, own: ReceivingKeys
) -> dict[str, bytes]:
    """Return the secrets shared with the other holders, for this query only."""
    others = [name for name in query.body.holders if name != situation.party]
    try:
        return {
            name: pair_secret(own.mask, situation.peers[name].mask, query.digest)
            for name in others
        }
    except InvalidKeyError as error:
        raise QueryRefusedError(Reason.STALE_KEYS) from error
