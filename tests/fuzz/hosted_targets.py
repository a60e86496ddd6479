"""What both sides of hosted scores read: forms, cards, queries, answers, applicants."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.deploy_documents import DEPLOY
from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target, by_grpc
from tests.protocol.hosted_cards import HOLDER, LINEAR, SCORECARD, applicants, hosted
from veilscore.keys import files
from veilscore.keys.receiving import SCORE
from veilscore.models.padded_batch import Batch
from veilscore.node.hosting.applicants import Applicants, read_applicants
from veilscore.node.hosting.card_file import read_card
from veilscore.node.hosting.form_file import decode, digest, encode
from veilscore.node.hosting.host import HostSituation, accept
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.hosting.requesting import HostedRequest, write_query
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreRefusal

_ROWS: Final = [SCORECARD.form.fill_in(each) for each in applicants(3)]
_EXAMPLE: Final = DEPLOY / "examples" / "hosted_card.toml"
_CSV: Final = b"income,kind,note\r\n12.5,farm,x\r\n,,\r\n-1,boat,y\r\n"


def _query(stock: Stock) -> HostedQuery:
    public = stock.paillier.public
    packed = Batch(public.n, SCORECARD.form.bits, len(_ROWS)).pack(_ROWS)
    return write_query(
        SCORECARD.form,
        public.add_plain([1] * len(packed), packed),
        applicants=len(_ROWS),
        requester="bank",
        peers={name: stock.peer(name, SCORE) for name in ("bank", HOLDER)},
        public=public,
        purpose="pre_loan",
        consent="contract 17",
        nonce=bytes(16),
        asked=int(NOW),
        deadline=int(NOW) + 60,
    )


def form(stock: Stock) -> Target:
    """Read a form, name it, and fill it in."""
    del stock

    def read(data: bytes) -> None:
        found = decode(data, "form.json")
        assert decode(encode(found)) == found
        digest(found)
        found.fill_in(applicants(1)[0])

    nested = b'{"feature": ' + b"[" * 50_000
    return Target(
        read, [encode(SCORECARD.form), encode(LINEAR.form)], [nested], share=0.5
    )


def hosted_card(stock: Stock) -> Target:
    path = stock.file("card.toml")
    files.create(path, b"")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        card = read_card(path, HOLDER)
        assert card.width <= card.form.bits

    return Target(read, [_EXAMPLE.read_bytes()], share=0.5)


def hosted_query(stock: Stock) -> Target:
    """Ask a host with any body, up to what it would add to the sums."""
    known = hosted()
    situation = HostSituation(
        party=HOLDER,
        sender=stock.people.registry.party("bank"),
        hosted=known,
        keys={stock.peer(HOLDER, SCORE).digest: stock.receiving[HOLDER]},
        peers={name: stock.peer(name, SCORE) for name in ("bank", HOLDER)},
        nonce_seen=False,
        spent=0,
        now=NOW,
    )

    def read(data: bytes) -> None:
        accepted = accept(HostedQuery.read(data), situation)
        inputs = {len(part) for part in accepted.plaintexts}
        assert inputs == {known.card.form.inputs}
        assert len(accepted.paddings()) == len(accepted.plaintexts)

    return Target(read, [_query(stock).raw], share=0.5)


def hosted_answer(stock: Stock) -> Target:
    """Take a host's word for scores."""
    query, private = _query(stock), stock.paillier

    def read(data: bytes) -> None:
        message = by_grpc(ScoreMessage, data)
        request = HostedRequest(query, SCORECARD.form, private.public)
        if message.HasField("refusal"):
            request.refused(HOLDER, message.refusal)
        else:
            request.add(HOLDER, message.answer)
            assert len(request.scores(private.decrypt(request.ciphertexts))) == 3

    blob = private.public.encode(private.public.add_plain([1], [12_345]))
    answer = ScoreAnswer(digest=query.digest, ciphertexts=blob)
    refusal = ScoreRefusal(digest=query.digest, code="budget-spent", reason="used up")
    return Target(
        read,
        [ScoreMessage(answer=answer).SerializeToString()],
        refused=[ScoreMessage(refusal=refusal).SerializeToString()],
        share=0.2,
    )


def applicants_to_score(stock: Stock) -> Target:
    path = stock.file("applicants.csv")
    asked = Applicants(path, "utf-8")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        failed: list[tuple[int, str]] = []
        rows = list(read_applicants(asked, SCORECARD.form, failed))
        assert len(rows) + len(failed) <= len(data)

    return Target(read, [_CSV], share=0.5)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "form of a hosted card": form,
    "hosted card": hosted_card,
    "hosted query": hosted_query,
    "hosted answer": hosted_answer,
    "applicants to score": applicants_to_score,
}
