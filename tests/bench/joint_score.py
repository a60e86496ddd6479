"""A batch of joint scores of three holders, without the log's receipts.

Every holder packs, masks and encrypts its partial scores under the requester's key; the
requester checks, multiplies, decrypts and unpacks. The time is that of all of them.
The bytes are those of the product's messages: one query and one answer a holder, before
they are sealed. Six envelopes add about 8 kB to a batch.
"""

import secrets
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from tests.bench.measure import Stopwatch
from tests.bench.plain_phe import Operations
from tests.bench.rows import Measured, Sizes
from veilscore.keys.masks import pair_secret, zero_sum_residues
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import ReceivingKeys
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.v1.score_pb2 import (
    ScoreAnswer,
    ScoreMessage,
    ScoreQuery,
    ScoreQueryBody,
)

_DIGEST = bytes(range(32))


def joint_score(key: PrivateKey, by: str, sizes: Sizes) -> Iterator[Measured]:
    """Measure one batch; tables of the requester's key exist, as after any batch."""
    public, names = key.public, [f"holder-{number}" for number in range(sizes.holders)]
    drawn = np.random.default_rng(2)
    points = {name: drawn.integers(-500, 500, sizes.scores).tolist() for name in names}
    shared = _pair_secrets(names)
    layout = ScoreLayout.plan(public.n)
    count = layout.plaintexts(sizes.scores)
    with PaillierWorkers(0) as workers:
        workers.encrypt_for(public, [0])
        workers.decrypt(key, [1])
        with Stopwatch() as watch:
            answers: list[bytes] = []
            for name in names:
                packed = layout.pack(points[name])
                masks = zero_sum_residues(name, shared[name], "score", count, public.n)
                residues = [
                    (value + mask) % public.n
                    for value, mask in zip(packed, masks, strict=True)
                ]
                answers.append(public.encode(workers.encrypt_for(public, residues)))
            product = public.decode(answers[0], count)
            for answer in answers[1:]:
                product = public.add(product, public.decode(answer, count))
            scores = layout.unpack(
                workers.decrypt(key, product), sizes.scores, public.n, "the holders"
            )
    if scores != [sum(parts) for parts in zip(*points.values(), strict=True)]:
        raise ArithmeticError("the joint scores are not the sums of the partial ones")
    asked = len(_query(names, public.to_bytes(), sizes.scores)) * sizes.holders
    answered = sum(
        ScoreMessage(answer=ScoreAnswer(digest=_DIGEST, ciphertexts=blob)).ByteSize()
        for blob in answers
    )
    naive = Operations(
        encryptions=sizes.holders,
        additions=sizes.holders - 1,
        decryptions=1,
        ciphertexts_sent=sizes.holders,
        other_bytes=asked / sizes.scores,
    )
    yield Measured(
        f"joint score, {sizes.holders} holders, of {sizes.scores:,}",
        by,
        "score",
        watch.cost.times(1 / sizes.scores).sending((asked + answered) / sizes.scores),
        naive,
    )


def _pair_secrets(names: list[str]) -> Mapping[str, Mapping[str, bytes]]:
    keys = {name: ReceivingKeys.generate().mask for name in names}
    context = secrets.token_bytes(32)
    table: dict[str, dict[str, bytes]] = {name: {} for name in names}
    for one, other in combinations(names, 2):
        theirs = keys[other].public_key().public_bytes_raw()
        table[one][other] = table[other][one] = pair_secret(keys[one], theirs, context)
    return table


def _query(names: list[str], modulus: bytes, entities: int) -> bytes:
    """Return a query about firms with credit codes of 18 characters."""
    body = ScoreQueryBody(
        nonce=bytes(16),
        requester="bank",
        model=_DIGEST,
        holders=names,
        modulus=modulus,
        receiving_keys=[_DIGEST] * (len(names) + 1),
        purpose="pre_loan",
        consent="contract 17",
        entities=[f"U:{number:018}" for number in range(entities)],
        deadline=1_790_000_000,
        asked=1_790_000_000,
    )
    query = ScoreQuery(body=body.SerializeToString())
    return ScoreMessage(query=query).SerializeToString()
