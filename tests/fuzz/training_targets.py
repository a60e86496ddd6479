"""What nodes and the coordinator are told in a run, before their roles believe it."""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np

from tests.fuzz.role_targets import PERMISSIVE
from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target, by_grpc
from tests.protocol.conduct import conduct
from tests.protocol.score_cards import CARDS, ROWS, columns, manifest
from tests.sample_contract import sample_contract
from tests.unit.tlog.sample_log import own_word
from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.post import RunPost
from veilscore.coordinator.replies import read_report
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import run_purpose, verify_signed_key
from veilscore.keys.sealing import Sealer
from veilscore.keys.small_exponents import CHALLENGE
from veilscore.models import card_file
from veilscore.models.script import Await, Script, Send, drive
from veilscore.models.steps import steps
from veilscore.node.log.receipts import Receipts
from veilscore.node.shelf import Shelf
from veilscore.node.training.alignment import align
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier
from veilscore.node.training.desk import TrainingDesk
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.session import RunSession
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import (
    Positions,
    RunContract,
    SetMarks,
    StepReport,
    StepRequest,
    TrainingMessage,
)

_HOLDERS: Final = ("bank", "bureau", "market")
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


def _desks(stock: Stock) -> Callable[[], TrainingDesk]:
    """Return what makes a bank's desk that has no run yet."""
    hub = stock.hub()
    node = hub.node("bank")
    receipts = Receipts(node.chain, hub.append, own_word(hub.log_key), lambda: NOW)

    def made() -> TrainingDesk:
        return TrainingDesk(
            PERMISSIVE,
            lambda: _surroundings(stock, node.workers),
            node.shelf,
            RunLedger(Path(":memory:"), runs_a_day=1),
            receipts,
            _nothing,
            lambda: HostSpeed(1e-4, 1e-3, 1e-2, 1e-5),
            PrivacyBudget("bank", PERMISSIVE.privacy, node.database, receipts),
            node.incidents,
            lambda: NOW,
        )

    return made


def step_request(stock: Stock) -> Target:
    """Ask a node's desk to join, with a contract that may be anything."""
    desk = _desks(stock)

    def decode(data: bytes) -> None:
        desk().handle(_RUN, "join", data, "message")

    body = _contract(stock).SerializeToString()
    return Target(decode, [StepRequest(contract=body).SerializeToString()], share=0.02)


def step_request_in_a_run(stock: Stock) -> Target:
    """Ask a node that has joined for its next step, the last if it has made a card.

    The first byte says which: all but ``register`` take nothing from the request.
    """
    desk, contract = _desks(stock), _contract(stock)
    body = contract.SerializeToString()
    due = [*steps(contract), "", "polish-1"]
    workers = PaillierWorkers(0)

    def decode(data: bytes) -> None:
        step = due[data[0] % len(due)] if data else ""
        asked, session = (
            desk(),
            RunSession(_surroundings(stock, workers), contract, body),
        )
        session.join()
        asked._session = session  # pyright: ignore[reportPrivateUsage] - as if led there
        if step == "register":
            session._due = iter([step])  # pyright: ignore[reportPrivateUsage]
            session._card = _card_bytes()  # pyright: ignore[reportPrivateUsage]
        asked.handle(_RUN, step, data[1:], "message")

    found = ModelManifest.FromString(manifest(*CARDS.values()))
    found.contract = hashlib.sha256(body).digest()
    asked = StepRequest(manifest=found.SerializeToString()).SerializeToString()
    found.cards[0].card = bytes(32)
    other = StepRequest(manifest=found.SerializeToString()).SerializeToString()
    last = bytes([due.index("register")])
    before = [bytes([at]) + asked for at, step in enumerate(due) if step != "register"]
    return Target(
        decode, [last + asked], refused=[last + other, last, *before], share=0.02
    )


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
    challenge = b""
    for sender, to, message in conduct(_alignment()):
        if to == "hub":
            told.setdefault(message.WhichOneof("body") or "", {})[sender] = message
        challenge = message.hop_challenge.challenge or challenge

    def answer(asked: Await, lie: TrainingMessage) -> dict[str, TrainingMessage]:
        due = told[asked.kind]
        return {**due, "bank": lie} if asked.kind == lie.WhichOneof("body") else due

    def decode(data: bytes) -> None:
        lie = by_grpc(TrainingMessage, data)
        played = place_rows(sample_contract(_HOLDERS), _HOLDERS)

        def drawn(size: int) -> bytes:
            """Draw the challenge that what was told then answers, and no other."""
            return challenge if size == CHALLENGE else os.urandom(size)

        with patch.object(secrets, "token_bytes", drawn):
            drive(
                played,
                send=_nothing,
                wait=lambda asked: answer(asked, lie),
                show=_nothing,
            )

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
    own = OwnPaillier(stock.paillier, PaillierWorkers(0))
    sample = own.encrypt([1, -2])

    def decode(data: bytes) -> None:
        own.decrypt(data[: len(sample)])
        own.decrypt_sum([sample, data])

    return Target(decode, [sample], share=0.1)


def rows_of_a_peer(stock: Stock) -> Target:
    peer = PeerPaillier(stock.paillier.public, PaillierWorkers(0))
    codes = np.array([[0], [1], [1]], dtype=np.uint16)
    sample = peer.encrypt([1, 2, 3])
    return Target(lambda data: peer.histogram(data, codes, (2,)), [sample], share=0.2)


def step_report(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        reply = StepReply(
            "bank", ok=True, payload=data, code="", reason="", message_id=""
        )
        read_report(reply, "evaluate")

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


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "step request": step_request,
    "step request in a run": step_request_in_a_run,
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
