"""What parties of a run and its coordinator are told, envelopes opened.

The messages between the roles are played into a run on plain integers
(``rehearsal``); what ciphertexts must be is a target of ``key_targets``.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from tests.fuzz.rehearsal import (
    PARTIES,
    make_card,
    make_roles,
    rehearsed_contract,
    script,
    trained_steps,
)
from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target, by_grpc
from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import PlainRing
from tests.protocol.score_cards import CARDS, ROWS, columns, manifest
from tests.sample_contract import sample_contract
from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.post import RunPost
from veilscore.coordinator.rounds import (
    _read_report,  # pyright: ignore[reportPrivateUsage] - its callers need a whole run
)
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import run_purpose, verify_signed_key
from veilscore.keys.sealing import Sealer
from veilscore.models import card_file
from veilscore.models.vertical.script import Script, Send
from veilscore.node.errors import RefusedError
from veilscore.node.receipts import Receipts
from veilscore.node.shelf import Shelf
from veilscore.node.training import policy
from veilscore.node.training.alignment import align
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier
from veilscore.node.training.desk import TrainingDesk
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.session import RunSession, Surroundings
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import (
    Block,
    Positions,
    RunContract,
    SetMarks,
    StepReport,
    StepRequest,
    TrainingMessage,
)

_HOLDERS: Final = ("bank", "bureau", "market")
_PERMISSIVE: Final = TrainingSettings(
    approve="automatic",
    allow_polish=True,
    min_polish_noise=0.0,
    allow_exact=True,
    allow_two_party=True,
    min_count=0,
    min_rows=1,
    min_cover=0.0,
)
_RUN: Final = "5f" * 16


def _contract(stock: Stock) -> RunContract:
    prints = stock.people.registry.fingerprints()
    return sample_contract(_HOLDERS, prints, run=_RUN)


def _nothing(*_: object) -> None:
    """Take what a run tells its surroundings."""


def _no_keys(_: str) -> list[SignedKey]:
    return []


def _surroundings(stock: Stock, workers: PaillierWorkers) -> Surroundings:
    return Surroundings(
        party="bank",
        coordinator="hub",
        signer=stock.people.signers["bank"],
        registry=stock.people.registry,
        private_key=stock.paillier,
        workers=workers,
        source=columns(ROWS["bank"]),
        send=_nothing,
        publish=_nothing,
        directory=_no_keys,
        clock=lambda: NOW,
        step_timeout_s=1.0,
        min_rows=1,
    )


def step_request(stock: Stock) -> Target:
    """Ask a node's desk to join, with a contract that may be anything."""
    hub = stock.hub()
    node = hub.node("bank")
    receipts = Receipts(node.chain, hub.append, hub.log_key, lambda: NOW)

    def decode(data: bytes) -> None:
        desk = TrainingDesk(
            _PERMISSIVE,
            lambda: _surroundings(stock, node.workers),
            node.shelf,
            RunLedger(Path(":memory:"), runs_a_day=1),
            receipts,
            _nothing,
            lambda: NOW,
        )
        desk.handle(_RUN, "join", data, "message")

    body = _contract(stock).SerializeToString()
    return Target(decode, [StepRequest(contract=body).SerializeToString()], share=0.02)


def contract(_: Stock) -> Target:
    """Hold a whole run under any contract that a node's policy lets pass."""

    def decode(data: bytes) -> None:
        asked = by_grpc(RunContract, data)
        policy.check(asked, "bank", _PERMISSIVE)
        names = [entry.party for entry in asked.roster]
        if names != list(PARTIES) or asked.label_holder != "bank":
            raise RefusedError("the registry knows others")
        roles = make_roles(asked)
        for step in trained_steps(asked):
            conduct({name: script(role, step) for name, role in roles.items()})
        for role in roles.values():
            make_card(role)

    samples = [rehearsed_contract(), rehearsed_contract(polish=1, exact=True)]
    odd = [
        sample_contract(PARTIES, {}, min_count=3, max_columns=4, **clause)
        for clause in (
            {"count_epsilon": 1e-300},
            {"ridge": math.inf},
            {"polish_steps": 1, "polish_noise": math.inf},
            {"base_odds": math.inf},
        )
    ]
    return Target(
        decode,
        [each.SerializeToString() for each in samples],
        [each.SerializeToString() for each in odd],
        share=0.05,
    )


def _huge_counts(message: TrainingMessage) -> None:
    for column in message.counts.columns:
        column.good[:] = [2**62, 2**62, *[0] * (len(column.good) - 2)]
        column.pool[:] = [0] * len(column.pool)


def _huge_gradient(message: TrainingMessage) -> None:
    size = PlainRing().size
    columns = len(message.gradient.ciphertexts) // size
    message.gradient.ciphertexts = (b"\0" + b"\xff" * (size - 1)) * columns


# Lies that were believed once, and raised something else than a Fault later.
_LIES: Final[Mapping[str, Callable[[TrainingMessage], None]]] = {
    "block": lambda message: message.CopyFrom(
        TrainingMessage(block=Block(weights=[1e308, -1e308]))
    ),
    "counts": _huge_counts,
    "gradient": _huge_gradient,
}


def _told(mode: str, step: str, kind: str) -> Callable[[Stock], Target]:
    """Tell one party of a rehearsed run a lie, in the place of one message."""

    def make(stock: Stock) -> Target:
        rehearsal = stock.rehearsal(mode)
        cue = rehearsal.cue(step, kind)

        def decode(data: bytes) -> None:
            message = by_grpc(TrainingMessage, data)
            if message.WhichOneof("body") != cue.kind:
                raise RefusedError("nobody waits for this kind")
            rehearsal.play(cue, message)

        lies: list[bytes] = []
        if kind in _LIES:
            lie = TrainingMessage.FromString(cue.message)
            _LIES[kind](lie)
            lies.append(lie.SerializeToString())
        return Target(decode, [cue.message], lies, share=0.1)

    return make


def message_to_a_node(stock: Stock) -> Target:
    """Seal anything for a node's session: what it opens need be no message."""
    workers = PaillierWorkers(0)
    asked = _contract(stock)
    session = RunSession(
        _surroundings(stock, workers), asked, asked.SerializeToString()
    )
    key = session.join()
    purpose = run_purpose(_RUN)
    peer = verify_signed_key(key, stock.people.registry, purpose, NOW)
    sealer = Sealer(stock.people.signers["bureau"], "bureau", {})

    def decode(data: bytes) -> None:
        session.mailbox = Mailbox()
        session.receive(sealer.seal("counts", peer, data))

    sample = TrainingMessage(positions=Positions(positions=[1, -1, 0], rows=2))
    return Target(decode, [sample.SerializeToString()], [b"\xff"], share=0.5)


def message_to_the_coordinator(stock: Stock) -> Target:
    hub, bank = stock.people.signers["hub"], stock.people.signers["bank"]

    def decode(data: bytes) -> None:
        post = RunPost(_contract(stock), "hub", hub, stock.people.registry, NOW)
        peer = verify_signed_key(
            post.key, stock.people.registry, run_purpose(_RUN), NOW
        )
        post.receive("bank", Sealer(bank, "bank", {}).seal("rows", peer, data))

    sample = TrainingMessage(set_marks=SetMarks(marks=b"\0\1"))
    return Target(decode, [sample.SerializeToString()], [b"\xff"], share=0.2)


_IDS: Final = [f"X:firm {at}" for at in range(4)]


def _alignment() -> dict[str, Script]:
    """Return what everybody does to align four entities that all of them know."""
    labelled = np.ones(len(_IDS), dtype=np.bool_)

    def aligned(name: str) -> Script:
        yield from align(name, _HOLDERS, "hub", _RUN, _IDS, labelled)

    scripts = {name: aligned(name) for name in _HOLDERS}
    return scripts | {"hub": place_rows(sample_contract(_HOLDERS), _HOLDERS)}


def _lying(honest: Script, lie: TrainingMessage) -> Script:
    """Send the lie in the place of the first message of its kind."""
    action, told = next(honest), False
    while True:
        if isinstance(action, Send) and not told:
            told = action.message.WhichOneof("body") == lie.WhichOneof("body")
            action = Send(action.to, lie) if told else action
        arrived = yield action
        try:
            action = honest.send(arrived)
        except StopIteration:
            return


def sets_at_the_coordinator(_: Stock) -> Target:
    """Tell the coordinator what three holders told it once, but for one message."""
    told: dict[str, dict[str, TrainingMessage]] = {}
    for sender, to, message in conduct(_alignment()):
        if to == "hub":
            told.setdefault(message.WhichOneof("body") or "", {})[sender] = message

    def decode(data: bytes) -> None:
        lie = by_grpc(TrainingMessage, data)
        kind = lie.WhichOneof("body")
        played = place_rows(sample_contract(_HOLDERS), _HOLDERS)
        action = next(played)
        while not isinstance(action, Send):
            due = told[action.kind]
            action = played.send({**due, "bank": lie} if action.kind == kind else due)
        for action in played:
            assert isinstance(action, Send)

    samples = [messages["bank"] for messages in told.values()]
    return Target(decode, [each.SerializeToString() for each in samples], share=0.1)


def alignment_at_a_holder(_: Stock) -> Target:
    """Align with a holder and a coordinator of whose messages one is a lie."""
    samples = {
        message.WhichOneof("body"): message.SerializeToString()
        for sender, _, message in conduct(_alignment())
        if sender in {"market", "hub"}
    }

    def decode(data: bytes) -> None:
        lie = by_grpc(TrainingMessage, data)
        scripts = _alignment()
        conduct(
            scripts | {name: _lying(scripts[name], lie) for name in ("market", "hub")}
        )

    # Of another alignment with other keys and orders, so all of them are refused.
    return Target(decode, [], refused=list(samples.values()), share=0.02)


def own_ciphertexts(stock: Stock) -> Target:
    own = OwnPaillier(stock.paillier, PaillierWorkers(0), _nothing)
    sample = own.encrypt([1, -2])

    def decode(data: bytes) -> None:
        own.decrypt(data[: len(sample)])
        own.decrypt_sum([sample, data])

    return Target(decode, [sample], share=0.1)


def rows_of_a_peer(stock: Stock) -> Target:
    peer = PeerPaillier(stock.paillier.public, PaillierWorkers(0), _nothing)
    codes = np.array([[0], [1], [1]], dtype=np.uint16)
    sample = peer.encrypt([1, 2, 3])
    return Target(lambda data: peer.histogram(data, codes, (2,)), [sample], share=0.2)


def step_report(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        reply = StepReply(
            "bank", ok=True, payload=data, code="", reason="", message_id=""
        )
        _read_report(reply, "evaluate")

    report = StepReport(
        sent=bytes(32), bytes_bucket=4096, card=bytes(32), max_abs_points=9
    )
    return Target(decode, [report.SerializeToString()])


def model_manifest(stock: Stock) -> Target:
    shelf = Shelf(stock.file("models"), stock.people.keystores["bank"])
    return Target(
        lambda data: shelf.put(data, None, now=NOW).scale,
        [manifest(*CARDS.values())],
        share=0.1,
    )


def _card_bytes() -> bytes:
    return card_file.encode(CARDS["bank"])


def card(_: Stock) -> Target:
    return Target(card_file.decode, [_card_bytes()])


def card_with_checksum(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        found = card_file.decode(data + card_file.digest(data))
        assert found.max_abs_points >= 0

    return Target(decode, [_card_bytes()[:-32]])


_CUES: Final = (
    ("default", "counts", "encrypted_rows"),
    ("default", "counts", "count_answer"),
    ("default", "counts", "counts"),
    ("default", "moments", "moments"),
    ("default", "cross", "encrypted_rows"),
    ("default", "cross", "cross_answer"),
    ("default", "cross", "cross_shares"),
    ("default", "solve", "block"),
    ("default", "calibrate", "score_share"),
    ("default", "calibrate", "slope"),
    ("default", "evaluate", "score_share"),
    ("polish", "polish-1", "predictor"),
    ("polish", "polish-1", "encrypted_rows"),
    ("polish", "polish-1", "gradient"),
    ("polish", "polish-1", "block"),
    ("exact", "polish-1", "predictor"),
    ("exact", "polish-1", "gradient"),
    ("exact", "polish-2", "predictor"),
)

TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "step request": step_request,
    "contract of a run": contract,
    **{f"{mode} {step}: {kind}": _told(mode, step, kind) for mode, step, kind in _CUES},
    "message to a node": message_to_a_node,
    "message to the coordinator": message_to_the_coordinator,
    "sets at the coordinator": sets_at_the_coordinator,
    "alignment at a holder": alignment_at_a_holder,
    "own ciphertexts": own_ciphertexts,
    "rows of a peer": rows_of_a_peer,
    "step report": step_report,
    "model manifest": model_manifest,
    "card": card,
    "card with its checksum": card_with_checksum,
}
