"""The asking core: one request, the holders' answers, the joint scores.

The requester learns the sum of all partial scores of every entity, to which it adds
its own; the vector of a single holder is uniform noise to it. It multiplies the
ciphertexts itself, so nobody in between can shift a score: an answer is signed by its
holder and covered by nothing else.

A holder that is missing, or masked its vector for another batch, shows as non-zero
guard bits, and nothing is decoded. A holder that gives false points is not noticed
here; the log holds its commitment to what it sent.

Every card of a whole model is all of it, so one holder is asked and nothing is added to
what it says. A party that has such a card itself scores at home, and asks nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import PeerKeys
from veilscore.models.errors import ProtocolError
from veilscore.models.scorecard import KNOWN_TO_ALL, Card
from veilscore.models.vertical.layout import HIDING, ScoreLayout
from veilscore.node.errors import BadAnswerError, ScoringError, WhichHolderError
from veilscore.node.scoring.answers import raise_refusal, read_answer
from veilscore.node.scoring.query import Query, canonical_ids, list_keys
from veilscore.node.shelf import ShelvedModel
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreQueryBody, ScoreRefusal


@dataclass(frozen=True, slots=True)
class EntityScore:
    """The score of one entity, joint or of a whole model.

    ``known``: the requester's own table has the entity. Of the other holders nothing
    is known, but that some of them do not have an entity whose score is None.
    """

    entity: str = field(repr=False)
    score: int | None
    probability_of_default: float | None
    known: bool


def whom_to_ask(
    model: ShelvedModel, requester: str, holder: str | None
) -> tuple[str, ...]:
    """Return the holders to ask; none if the requester's own card is the whole model.

    ``holder`` chooses one, by name; only whole models have a choice.

    Raises WhichHolderError that lists the holders if the choice is none of them, is
    missing, or is not the requester's to make; ScoringError if there is nobody to ask.
    """
    others = tuple(name for name in model.holders if name != requester)
    if not model.whole:
        if holder is not None:
            raise WhichHolderError(
                "scores of this model are sums over all its holders: "
                + ", ".join(model.holders),
                remedy="Name no holder.",
            )
        if not others:
            raise ScoringError(
                "nobody else holds a card of this model",
                remedy="Ask for the scores of a model that was trained jointly.",
            )
        return others
    if model.card is not None and holder in {None, requester}:
        return ()
    if holder is None and len(others) == 1:
        return others
    if holder not in others:
        raise WhichHolderError(
            f"{holder} has no card of this model, which one holder answers for"
            if holder
            else "each holder of this model answers for itself, and none is named",
            remedy=f"Name one holder of: {', '.join(others)}.",
        )
    return (holder,)


def write_query(
    entities: Sequence[str],
    *,
    model: ShelvedModel,
    holders: Sequence[str],
    requester: str,
    peers: Mapping[str, PeerKeys],
    public: PublicKey,
    purpose: str,
    consent: str,
    nonce: bytes,
    asked: int,
    deadline: int,
) -> Query:
    """Return the one query that all ``holders`` get, as ``whom_to_ask`` named them.

    ``entities`` are typed ids; ``peers`` holds the receiving keys of all parties.

    Raises:
        EntityIdError: an id breaks the rules of its type or is named twice.
        NoReceivingKeyError: names the parties that have published none.
        ScoringError: there is nobody to ask about.

    """
    keys = list_keys([*holders, requester], peers)
    return Query.of(
        ScoreQueryBody(
            nonce=nonce,
            requester=requester,
            model=model.hash,
            holders=holders,
            modulus=public.to_bytes(),
            receiving_keys=keys,
            purpose=purpose,
            consent=consent,
            entities=name_entities(entities),
            asked=asked,
            deadline=deadline,
        )
    )


def name_entities(typed: Sequence[str]) -> list[str]:
    """Return the ids of a request in their one spelling.

    Raises EntityIdError, and ScoringError if there are none.
    """
    if not typed:
        raise ScoringError(
            "the request names no entity", remedy="Name at least one entity."
        )
    return canonical_ids(typed)


def score_at_home(
    model: ShelvedModel,
    card: Card,
    entities: Sequence[str],
    points: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> list[EntityScore]:
    """Return scores by the own ``card`` of a whole model; both arrays are (entities,).

    What is not ``known`` has none if the model scores only what its holder knows.
    """
    scored = known if card.parameters.get(KNOWN_TO_ALL) else np.ones_like(known)
    return _told(model, entities, points, known, scored)


def _told(
    model: ShelvedModel,
    entities: Sequence[str],
    points: NDArray[np.int64],
    known: NDArray[np.bool_],
    scored: NDArray[np.bool_],
) -> list[EntityScore]:
    defaults = model.scale.default_probability(points.astype(np.float64))
    return [
        EntityScore(entity, score, default, own)
        if is_scored
        else EntityScore(entity, None, None, own)
        for entity, score, default, own, is_scored in zip(
            entities,
            points.tolist(),
            defaults.tolist(),
            known.tolist(),
            scored.tolist(),
            strict=True,
        )
    ]


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
        expected = ScoreLayout.plan(self.public.n).plaintexts(self._count)
        self._vectors[sender] = read_answer(
            self.query, sender, answer, self.public, expected
        )

    def refused(self, sender: str, refusal: ScoreRefusal) -> None:
        """Raise HolderRefusedError if ``sender`` is a holder we wait for."""
        if sender in self.missing:
            raise_refusal(sender, refusal)

    def products(self) -> list[int]:
        """Return one ciphertext a plaintext: the encrypted sums of all holders."""
        first, *others = self._vectors.values()
        for vector in others:
            first = self.public.add(first, vector)
        return first

    def decrypted(self, private: PrivateKey, workers: PaillierWorkers) -> list[int]:
        """Return the residues of the encrypted sums; a few scores are read faster.

        Whatever is no sum of answers to this query leaves noise in the guard bits,
        modulo one prime of the key as modulo both.
        """
        if ScoreLayout.plan(self.public.n).bits(self._count) <= private.small_bits:
            return private.decrypt_small(self.products())
        return workers.decrypt(private, self.products())

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
        scored = np.abs(points) < HIDING // 2
        return _told(self.model, self.query.body.entities, points, known, scored)

    @property
    def _count(self) -> int:
        return len(self.query.body.entities)
