"""Answers to two fixed inputs: a thousand of each do not tell which is which.

The worst reader is the owner of the key. It decrypts, and divides the plaintext out of
every ciphertext, so that the noise is left. Of a training's bin sums it is entitled to
the counts, which are the same here; of a joint score's vector to nothing. Everybody
can reduce a ciphertext modulo n, where a plaintext that was added does not reach.

Each defence is switched off once, and then the two are told apart.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from gmpy2 import invert, mpz

from tests.attacks.two_samples import ALPHA, View, differences, probabilities
from tests.conftest import Tell
from tests.protocol.conduct import Talk
from tests.protocol.score_cards import CARDS
from tests.sample_contract import sample_contract
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.layout import RowLayout
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.node.scoring.holder import AcceptedQuery
from veilscore.node.scoring.query import Query
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier, RunMasks
from veilscore.v1.score_pb2 import ScoreQueryBody
from veilscore.v1.training_pb2 import EncryptedRows, TrainingMessage

ANSWERS = 1000
BINS = 2
ROWS = 24
BAD = [row % 3 == 0 for row in range(ROWS)]
FEW = 100  # answers that suffice where a defence is off
POINTS = ([0, 0, 0], [512, -480, 77])


@dataclass(frozen=True, slots=True)
class Answers:
    """Ciphertexts of one input, and how long the messages were that held them."""

    ciphertexts: list[int]
    lengths: set[int]

    def public_views(self, key: PublicKey) -> dict[str, View]:
        """Return what everybody can compute who knows n."""
        return {
            "ciphertext": self.ciphertexts,
            "modulo n": [value % key.n for value in self.ciphertexts],
        }

    def views(
        self, private: PrivateKey, workers: PaillierWorkers, entitled_bits: int
    ) -> dict[str, View]:
        """Return all that the owner can compute, but the bits it is entitled to."""
        key = private.public
        residues = workers.decrypt(private, self.ciphertexts)
        n, n_squared = mpz(key.n), mpz(key.n_squared)
        noise = [
            int(ciphertext * invert(n * residue + 1, n_squared) % n_squared)
            for ciphertext, residue in zip(self.ciphertexts, residues, strict=True)
        ]
        return {
            **self.public_views(key),
            "noise": noise,
            "plaintext": [residue >> entitled_bits for residue in residues],
        }


@dataclass(frozen=True, slots=True)
class NoNoise(PeerPaillier):
    """A key under which answers are not re-randomised."""

    def answer(self, ciphertexts: Sequence[int], masks: Sequence[int] | None) -> bytes:
        masked = self.public.add_plain(ciphertexts, masks or [0] * len(ciphertexts))
        return self.public.encode(masked)


@dataclass(frozen=True, slots=True)
class NoMasks(PeerPaillier):
    """A key under which plaintexts are not masked."""

    def answer(self, ciphertexts: Sequence[int], masks: Sequence[int] | None) -> bytes:
        del masks
        return PeerPaillier.answer(self, ciphertexts, None)


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture(scope="module")
def workers() -> Iterator[PaillierWorkers]:
    with PaillierWorkers(0) as made:
        yield made


def terms() -> Terms:
    return Terms(sample_contract(("bank", "bureau"), max_columns=8, max_rows=1000))


def layout(key: PublicKey) -> RowLayout:
    return RowLayout.plan(ROWS, 1, terms().contract.max_columns, key.n)


@pytest.fixture(scope="module")
def encrypted_rows(private: PrivateKey, workers: PaillierWorkers) -> TrainingMessage:
    """What the label holder sends once: labels and the codes of one column."""
    codes = np.random.default_rng(3).integers(-(1 << 12), 1 << 12, ROWS)
    plan = layout(private.public)
    (plaintexts,) = plan.pack(np.column_stack([np.ones(ROWS, np.int64), BAD, codes]))
    blob = OwnPaillier(private, workers).encrypt(plaintexts)
    rows = EncryptedRows(ciphertexts=blob, columns=1)
    return TrainingMessage(encrypted_rows=rows)


def inputs() -> list[RunColumns]:
    """Return two columns with the same counts in both bins, but of other rows."""
    first = np.array([row < ROWS // 2 for row in range(ROWS)], np.uint16)
    second, bad = first.copy(), np.array(BAD)
    for rows in (bad, ~bad):  # as many of both labels in a bin
        second[rows] = np.roll(first[rows], 2)
    for code in range(BINS):
        assert bad[first == code].sum() == bad[second == code].sum()
        assert not ((first == code) == (second == 0)).all()
        assert (first == code).sum() == (second == code).sum()
    return [RunColumns(("c",), codes[:, None], (BINS,)) for codes in (first, second)]


def bin_sums(
    columns: RunColumns, rows: TrainingMessage, key: PeerPaillier, count: int
) -> Answers:
    """Answer the same encrypted rows again and again, as a feature holder does."""
    own = OwnPaillier(PrivateKey.generate(2048), key.workers)
    ciphertexts: list[int] = []
    lengths: set[int] = set()
    while len(ciphertexts) < count:
        holder = FeatureHolder(
            "bureau", terms(), columns, own, {"bank": key}, RunMasks("bureau", {})
        )
        talk = Talk(holder.counts())
        talk.begin()
        _, answer = talk.tell({"bank": rows})  # first that the rows were taken
        (column,) = answer.message.count_answer.columns
        ciphertexts += key.public.decode(column.ciphertexts, BINS)
        lengths.add(answer.message.ByteSize())
    return Answers(ciphertexts, lengths)


def score_vectors(
    points: list[int], key: PeerPaillier, count: int, *, masked: bool = True
) -> Answers:
    """Answer queries about the same entities, each with a mask of its own."""
    ciphertexts: list[int] = []
    lengths: set[int] = set()
    for _ in range(count):
        shared = {"market": secrets.token_bytes(32)} if masked else {}
        query = Query.of(ScoreQueryBody(nonce=secrets.token_bytes(16)))
        accepted = AcceptedQuery(query, "bureau", CARDS["bureau"], key.public, shared)
        blob = key.encrypt(accepted.plaintexts(points, [True] * len(points)))
        ciphertexts += key.public.decode(blob, 1)
        lengths.add(len(blob))
    return Answers(ciphertexts, lengths)


def told_apart(
    one: dict[str, View], other: dict[str, View], key: PublicKey
) -> list[str]:
    return differences(probabilities(one, other, key.ciphertext_bytes))


def look_the_same(
    draw: Callable[[], tuple[Answers, Answers]],
    see: Callable[[Answers], dict[str, View]],
    width: int,
) -> dict[str, float]:
    """Assert that no statistic differs, twice if it does once; return the p of all.

    By chance one comparison of a thousand finds a difference, and hardly one of a
    million the same again.
    """
    one, other = draw()
    assert len(one.lengths | other.lengths) == 1
    found = probabilities(see(one), see(other), width)
    if suspicious := differences(found):
        one, other = draw()
        found = probabilities(see(one), see(other), width)
        assert not set(suspicious) & set(differences(found))
    return found


def test_bin_sums_of_two_inputs_look_the_same_to_the_keys_owner(
    private: PrivateKey,
    workers: PaillierWorkers,
    encrypted_rows: TrainingMessage,
    tell: Tell,
) -> None:
    key = PeerPaillier(private.public, workers)
    entitled = 2 * layout(private.public).count_bits

    def draw() -> tuple[Answers, Answers]:
        workers.prefill(private.public, 2 * ANSWERS)
        one, other = inputs()
        return (
            bin_sums(one, encrypted_rows, key, ANSWERS),
            bin_sums(other, encrypted_rows, key, ANSWERS),
        )

    found = look_the_same(
        draw,
        lambda answers: answers.views(private, workers, entitled),
        private.public.ciphertext_bytes,
    )
    told(tell, "bin sums", found)


def test_score_vectors_of_two_inputs_look_the_same_to_the_keys_owner(
    private: PrivateKey, workers: PaillierWorkers, tell: Tell
) -> None:
    key = PeerPaillier(private.public, workers)
    found = look_the_same(
        lambda: (
            score_vectors(POINTS[0], key, ANSWERS),
            score_vectors(POINTS[1], key, ANSWERS),
        ),
        lambda answers: answers.views(private, workers, 0),
        private.public.ciphertext_bytes,
    )
    told(tell, "score vectors", found)


def told(tell: Tell, what: str, found: dict[str, float]) -> None:
    tell(
        f"two inputs of {ANSWERS} {what}, least p of {len(found)} tests",
        f"{min(found.values()):.2g}",
        f"over {ALPHA / len(found):.2g}",
    )


def test_without_fresh_noise_everybody_tells_bin_sums_apart(
    private: PrivateKey, workers: PaillierWorkers, encrypted_rows: TrainingMessage
) -> None:
    key = NoNoise(private.public, workers)
    one, other = (
        bin_sums(columns, encrypted_rows, key, FEW).public_views(private.public)
        for columns in inputs()
    )
    assert "modulo n, hash" in told_apart(one, other, private.public)
    assert len(set(one["modulo n"])) == len(set(other["modulo n"])) == BINS


def test_without_masks_the_keys_owner_tells_bin_sums_apart(
    private: PrivateKey, workers: PaillierWorkers, encrypted_rows: TrainingMessage
) -> None:
    key = NoMasks(private.public, workers)
    entitled = 2 * layout(private.public).count_bits
    one, other = (
        bin_sums(columns, encrypted_rows, key, FEW).views(private, workers, entitled)
        for columns in inputs()
    )
    found = told_apart(one, other, private.public)
    assert "plaintext, hash" in found
    assert not [name for name in found if not name.startswith("plaintext")]


def test_without_masks_the_requester_tells_score_vectors_apart(
    private: PrivateKey, workers: PaillierWorkers
) -> None:
    key = PeerPaillier(private.public, workers)
    one, other = (
        score_vectors(points, key, FEW, masked=False).views(private, workers, 0)
        for points in POINTS
    )
    assert "plaintext, hash" in told_apart(one, other, private.public)
