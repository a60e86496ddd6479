"""The core of a requester of hosted scores: one query, one answer, the scores.

The requester learns the scores of its own applicants. It cannot check that they are
what the holder's card gives: the holder may answer anything, and the log holds it to
what it sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import PeerKeys
from veilscore.models.hosted import Form
from veilscore.models.padded_batch import Batch
from veilscore.node.hosting.form_file import digest
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.scoring.answers import raise_refusal, read_answer
from veilscore.node.scoring.query import list_keys
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreAnswer, ScoreRefusal

# Of the ciphertexts of a query, so that all of it fits an envelope of ``post``.
_MOST_BYTES: Final = 1_000_000


def most_applicants(form: Form, key_bits: int) -> int:
    """Return how many applicants fit one query under a key of that size; 0: none."""
    width = 2 * ((key_bits + 7) // 8)
    slots = Batch(1 << key_bits - 1, form.bits, 0).slots
    return _MOST_BYTES // (form.inputs * width) * slots


def write_query(
    form: Form,
    ciphertexts: Sequence[int],
    *,
    applicants: int,
    requester: str,
    peers: Mapping[str, PeerKeys],
    public: PublicKey,
    purpose: str,
    consent: str,
    nonce: bytes,
    asked: int,
    deadline: int,
) -> HostedQuery:
    """Return the query for encrypted inputs, packed as ``Batch.pack`` does.

    Raises NoReceivingKeyError that names the parties that have published none.
    """
    return HostedQuery.of(
        HostedQueryBody(
            nonce=nonce,
            requester=requester,
            form=digest(form),
            modulus=public.to_bytes(),
            receiving_keys=list_keys((form.holder, requester), peers),
            purpose=purpose,
            consent=consent,
            applicants=applicants,
            ciphertexts=public.encode(ciphertexts),
            asked=asked,
            deadline=deadline,
        )
    )


@dataclass(slots=True, repr=False)
class HostedRequest:
    """A query that was asked, and the answer if it is there."""

    query: HostedQuery
    form: Form
    public: PublicKey
    ciphertexts: list[int] = field(default_factory=list[int])  # of the answer

    @property
    def missing(self) -> tuple[str, ...]:
        """The holder, until it has answered."""
        return () if self.ciphertexts else (self.form.holder,)

    def add(self, sender: str, answer: ScoreAnswer) -> None:
        """Take the holder's answer; whoever else sends one is ignored.

        Raises BadAnswerError if it is an answer to something else, or no ciphertexts.
        """
        if sender in self.missing:
            self.ciphertexts = read_answer(
                self.query, sender, answer, self.public, len(self._batch.sizes)
            )

    def refused(self, sender: str, refusal: ScoreRefusal) -> None:
        """Raise HolderRefusedError if ``sender`` is the holder we wait for."""
        if sender in self.missing:
            raise_refusal(sender, refusal)

    def scores(self, residues: Sequence[int]) -> list[int | float]:
        """Return every applicant's score out of the decrypted answer."""
        return [self.form.score(total) for total in self._batch.unpack(residues)]

    @property
    def _batch(self) -> Batch:
        return Batch(self.public.n, self.form.bits, self.query.body.applicants)
