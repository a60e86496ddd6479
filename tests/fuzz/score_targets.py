"""What a requester and a data holder read of each other's score messages."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target, by_grpc
from tests.protocol.score_cards import CARDS, ENTITIES, ROWS, columns, entity, manifest
from tests.protocol.score_world import SETTINGS, MemoryLink
from veilscore.keys.masks import zero_sum_residues
from veilscore.keys.receiving import SCORE
from veilscore.keys.sealing import Opener, Sealer
from veilscore.models.card_file import encode
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.node.link_faults import explain
from veilscore.node.scoring.holder import Situation, accept
from veilscore.node.scoring.post import MAX_BYTES, Post
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.requester import JointRequest, whom_to_ask, write_query
from veilscore.node.scoring.table import Table
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreQuery, ScoreRefusal

_ASKED: Final = [entity(number) for number in range(0, ENTITIES, 60)]


def _shelved(stock: Stock, party: str) -> ShelvedModel:
    shelf = Shelf(stock.file("models"), stock.people.keystores[party])
    return shelf.put(manifest(*CARDS.values()), encode(CARDS[party]), now=NOW)


def _query(stock: Stock, model: ShelvedModel) -> Query:
    return write_query(
        _ASKED,
        model=model,
        holders=whom_to_ask(model, "bank", None),
        requester="bank",
        peers={name: stock.peer(name, SCORE) for name in CARDS},
        public=stock.paillier.public,
        purpose="pre_loan",
        consent="contract 17",
        nonce=bytes(16),
        asked=int(NOW),
        deadline=int(NOW) + 60,
    )


def score_query(stock: Stock) -> Target:
    """Ask a data holder with any body, up to what it would encrypt."""
    model = _shelved(stock, "bureau")
    table = Table(columns(ROWS["bureau"]))
    situation = Situation(
        party="bureau",
        settings=SETTINGS,
        sender=stock.people.registry.party("bank"),
        model=model,
        keys={stock.peer("bureau", SCORE).digest: stock.receiving["bureau"]},
        peers={name: stock.peer(name, SCORE) for name in CARDS},
        nonce_seen=False,
        now=NOW,
    )

    def decode(data: bytes) -> None:
        accepted = accept(Query.read(data), situation)
        entities = accepted.query.body.entities
        points, known = table.partial_scores(accepted.card, entities)
        accepted.plaintexts(points.tolist(), known.tolist())

    return Target(decode, [_query(stock, model).raw], share=0.5)


def score_message(stock: Stock) -> Target:
    """Seal anything for a data holder's post: what it opens need be no message."""
    people, peer = stock.people, stock.peer("bureau", SCORE)
    sealer = Sealer(people.signers["bank"], "bank", {})
    keys = {peer.key_id: stock.receiving["bureau"]}
    post = Post(
        people.registry,
        MemoryLink(stock.hub(), "bureau"),
        Sealer(people.signers["bureau"], "bureau", {}),
        Opener("bureau", SCORE, keys, {}, MAX_BYTES),
    )
    sample = ScoreMessage(query=ScoreQuery(body=b"a body"))
    return Target(
        lambda data: post.open(sealer.seal("query", peer, data)),
        [sample.SerializeToString()],
        [b"\xff"],
        share=0.5,
    )


def score_answer(stock: Stock) -> Target:
    """Take one holder's word for scores; the other holder is honest."""
    model = _shelved(stock, "bank")
    query = _query(stock, model)
    private = stock.paillier
    public, layout = private.public, ScoreLayout.plan(private.public.n)
    packed = layout.pack([100] * len(_ASKED))
    secret = bytes(32)

    def answer(holder: str, other: str) -> ScoreMessage:
        masks = zero_sum_residues(
            holder, {other: secret}, "score", len(packed), public.n
        )
        plain = [
            (value + mask) % public.n for value, mask in zip(packed, masks, strict=True)
        ]
        blob = public.encode(public.add_plain([1] * len(plain), plain))
        return ScoreMessage(answer=ScoreAnswer(digest=query.digest, ciphertexts=blob))

    honest = answer("market", "bureau").answer
    own = np.zeros(len(_ASKED), np.int64), np.zeros(len(_ASKED), np.bool_)

    def decode(data: bytes) -> None:
        message = by_grpc(ScoreMessage, data)
        request = JointRequest(query, model, public)
        request.add("market", honest)
        if message.HasField("refusal"):
            request.refused("bureau", message.refusal)
        else:
            request.add("bureau", message.answer)
            request.scores(private.decrypt(request.products()), *own)

    refusal = ScoreRefusal(digest=query.digest, code="expired", reason="too late")
    return Target(
        decode,
        [answer("bureau", "market").SerializeToString()],
        refused=[ScoreMessage(refusal=refusal).SerializeToString()],
        share=0.2,
    )


def refusal_of_the_hub(stock: Stock) -> Target:
    """Read what a failed call of gRPC says, and the certificate that was shown."""

    def decode(data: bytes) -> None:
        details = data.decode(errors="replace")
        fault = explain(details, "hub", "hub.example:9443", stock.certificate, NOW)
        assert str(fault)

    return Target(decode, [b"registry: this party is not in the registry"])


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "score query": score_query,
    "score message": score_message,
    "score answer": score_answer,
    "refusal of the hub": refusal_of_the_hub,
}
