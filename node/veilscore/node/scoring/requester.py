"""The asking core: one request, the holders' answers, the joint scores.

The requester learns the sum of all partial scores of every entity, to which it adds
its own; the vector of a single holder is uniform noise to it. It multiplies the
ciphertexts itself, so nobody in between can shift a score: an answer is signed by its
holder and covered by nothing else.

A holder that is missing, or masked its vector for another batch, shows as non-zero
guard bits, and nothing is decoded. A holder that gives false points is not noticed
here; the log holds its commitment to what it sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import PeerKeys
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.layout import HIDING, ScoreLayout
from veilscore.node.errors import (
    BadAnswerError,
    HolderRefusedError,
    HolderUnavailableError,
    NoReceivingKeyError,
    ScoringError,
)
from veilscore.node.scoring.query import Query, canonical_ids
from veilscore.node.scoring.refusals import SENTENCES, TRANSIENT, Reason
from veilscore.node.shelf import ShelvedModel
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreQueryBody, ScoreRefusal

_ASK_AGAIN: Final = "Ask again; if it recurs, report it to the data holder."


@dataclass(frozen=True, slots=True)
class EntityScore:
    """The joint score of one entity.

    ``known``: the requester's own table has the entity. Of the other holders nothing
    is known, but that some of them do not have an entity whose score is None.
    """

    entity: str = field(repr=False)
    score: int | None
    probability_of_default: float | None
    known: bool


def write_query(
    entities: Sequence[str],
    *,
    model: ShelvedModel,
    requester: str,
    peers: Mapping[str, PeerKeys],
    public: PublicKey,
    purpose: str,
    consent: str,
    nonce: bytes,
    deadline: int,
) -> Query:
    """Return the one query that all holders of the model but ``requester`` get.

    ``entities`` are typed ids; ``peers`` holds the receiving keys of all parties.

    Raises:
        EntityIdError: an id breaks the rules of its type or is named twice.
        NoReceivingKeyError: names the parties that have published none.
        ScoringError: nobody else holds a card, or there is nobody to ask about.

    """
    holders = [name for name in model.holders if name != requester]
    names = [*holders, requester]
    absent = [name for name in names if name not in peers]
    if not holders:
        raise ScoringError(
            "nobody else holds a card of this model",
            remedy="Ask for the scores of a model that was trained jointly.",
        )
    if absent:
        raise NoReceivingKeyError(
            "has published no valid receiving key",
            party=", ".join(absent),
            remedy="Check that the party's node is running and attached.",
        )
    if not entities:
        raise ScoringError(
            "the request names no entity", remedy="Name at least one entity."
        )
    return Query.of(
        ScoreQueryBody(
            nonce=nonce,
            requester=requester,
            model=model.hash,
            holders=holders,
            modulus=public.to_bytes(),
            receiving_keys=[peers[name].digest for name in names],
            purpose=purpose,
            consent=consent,
            entities=canonical_ids(entities),
            deadline=deadline,
        )
    )


@dataclass(slots=True, repr=False)
class JointRequest:
    """A query that was asked, and the answers so far."""

    query: Query
    model: ShelvedModel
    public: PublicKey
    _vectors: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    @property
    def missing(self) -> tuple[str, ...]:
        """Holders that have not answered yet."""
        holders = self.query.body.holders
        return tuple(name for name in holders if name not in self._vectors)

    def add(self, sender: str, answer: ScoreAnswer) -> None:
        """Take one holder's answer; whoever else sends one is ignored.

        Raises BadAnswerError if it is an answer to something else, or no ciphertexts.
        """
        if sender not in self.missing:
            return
        if answer.digest != self.query.digest:
            raise BadAnswerError(
                "answered another query than it was asked",
                party=sender,
                remedy=_ASK_AGAIN,
            )
        expected = ScoreLayout.plan(self.public.n).plaintexts(self._count)
        try:
            self._vectors[sender] = self.public.decode(answer.ciphertexts, expected)
        except InvalidCiphertextError as error:
            raise BadAnswerError(
                error.what, party=sender, place=error.place, remedy=_ASK_AGAIN
            ) from error

    def refused(self, sender: str, refusal: ScoreRefusal) -> None:
        """Raise HolderRefusedError if ``sender`` is a holder we wait for."""
        if sender not in self.missing:
            return
        try:
            reason = Reason(refusal.code)
        except ValueError as error:
            raise HolderRefusedError(
                "refused for a reason that this version does not know",
                reason="unknown",
                party=sender,
            ) from error
        kind = HolderUnavailableError if reason in TRANSIENT else HolderRefusedError
        raise kind(
            f"refused ({reason}): {SENTENCES[reason]}", reason=reason, party=sender
        )

    def products(self) -> list[int]:
        """Return one ciphertext a plaintext: the encrypted sums of all holders."""
        first, *others = self._vectors.values()
        for vector in others:
            first = self.public.add(first, vector)
        return first

    def scores(
        self,
        residues: Sequence[int],
        own_points: NDArray[np.int64],
        known: NDArray[np.bool_],
    ) -> list[EntityScore]:
        """Unpack the decrypted products and add our own points, (entities,).

        What is larger than any joint score was hidden by a holder that does not know
        the entity.

        Raises BadAnswerError naming the holders when guard bits are not zero.
        """
        holders = " or ".join(self.query.body.holders)
        layout = ScoreLayout.plan(self.public.n)
        try:
            joint = layout.unpack(residues, self._count, self.public.n, holders)
        except ProtocolError as error:
            raise BadAnswerError(
                "the answers do not fit together, so there are no scores",
                party=holders,
                remedy="Ask again; if it recurs, one of these data holders answers "
                "another query than the others.",
            ) from error
        points = np.array(joint, np.int64) + own_points
        defaults = self.model.scale.default_probability(points.astype(np.float64))
        return [
            EntityScore(entity, score, default, own)
            if abs(score) < HIDING // 2
            else EntityScore(entity, None, None, own)
            for entity, score, default, own in zip(
                self.query.body.entities,
                points.tolist(),
                defaults.tolist(),
                known.tolist(),
                strict=True,
            )
        ]

    @property
    def _count(self) -> int:
        return len(self.query.body.entities)
