"""A private linear card on a requester's encrypted features.

The requester packs and encrypts the features of all applicants, the holder sums them
under its weights, pads and re-randomises, the requester decrypts. The time is that of
both. The holder's noise is ready, as a node keeps some; so are, if it is one
applicant, the requester's encryptions of zero, of which a node keeps enough for that.
The bytes are those of the ciphertexts, both ways.
"""

from collections.abc import Iterator

import numpy as np

from tests.bench.measure import Stopwatch
from tests.bench.plain_phe import Operations
from tests.bench.rows import Measured
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.powers import weighted_sum
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.zero_pool import ZeroPool
from veilscore.models.hosted import WIDEST_SLOT, FixedPoint, Form, HostedCard
from veilscore.models.padded_batch import Batch

APPLICANTS = (1, 50)
FEATURES = 30  # of 16 bits, as the weights are, which are signed
_REPEATS = 3


def hosted_score(key: PrivateKey, by: str) -> Iterator[Measured]:
    """Measure one applicant, and a batch of them."""
    for applicants in APPLICANTS:
        yield _batch(key, by, applicants)


def _batch(key: PrivateKey, by: str, applicants: int) -> Measured:
    public, own, card = key.public, OwnerEncryptor(key), _card()
    inputs = np.random.default_rng(3).integers(0, 1 << 16, (applicants, FEATURES))
    expected = (inputs @ np.array(card.exponents)).tolist()
    batch = Batch(public.n, card.form.bits, applicants)
    ciphertexts = FEATURES * len(batch.sizes)
    pool = NoisePool(public, draw_noise(public, _REPEATS * len(batch.sizes)))
    zeros = ZeroPool(public)
    if applicants == 1:
        zeros.fill(own.zeros(_REPEATS * ciphertexts))
    rows, sent, answer = inputs.tolist(), b"", b""
    with Stopwatch() as watch:
        for _ in range(_REPEATS):
            packed = batch.pack(rows)
            ready = zeros.encrypt(packed)
            sent = public.encode(ready + own.encrypt(packed[len(ready) :]))
            asked = public.decode(sent, ciphertexts)
            sums = [
                weighted_sum(public, asked[start : start + FEATURES], card.exponents)
                for start in range(0, ciphertexts, FEATURES)
            ]
            padded = public.add_plain(sums, batch.paddings(card.intercept))
            answer = public.encode(pool.rerandomise(padded))
            scores = batch.unpack(key.decrypt(public.decode(answer)))
            if scores != expected:
                raise ArithmeticError("the hosted scores are not the plain ones")
    asked_for = _REPEATS * applicants
    naive = Operations(
        encryptions=FEATURES,
        multiplications=FEATURES,
        additions=FEATURES - 1,
        rerandomisations=1,
        decryptions=1,
        ciphertexts_sent=FEATURES + 1,
    )
    return Measured(
        f"hosted score, {FEATURES} features, {applicants} at once",
        by,
        "score",
        watch.cost.times(1 / asked_for).sending((len(sent) + len(answer)) / applicants),
        naive,
    )


def _card() -> HostedCard:
    features = tuple(
        FixedPoint(f"x{number}", 1, 0.0, 65_535.0) for number in range(FEATURES)
    )
    drawn = np.random.default_rng(2).integers(-(1 << 15), 1 << 15, (FEATURES, 1))
    return HostedCard.of(Form("bench", "bench", features, WIDEST_SLOT), drawn.tolist())
