"""A session does the contract's steps once, in their order, and then forgets."""

from collections.abc import Generator
from dataclasses import replace
from datetime import date
from typing import NoReturn

import numpy as np
import pytest

from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.models.script import Await
from veilscore.node.columns import Columns
from veilscore.node.entities import Entities
from veilscore.node.errors import RefusedError, TrainingError
from veilscore.node.training.alignment import Alignment
from veilscore.node.training.run_keys import RunKeys
from veilscore.node.training.session import RunSession
from veilscore.node.training.surroundings import Surroundings
from veilscore.node.training.vertical import VerticalPart
from veilscore.v1.hub_pb2 import ReceivingKey, SignedKey
from veilscore.v1.training_pb2 import (
    EncryptedRows,
    RosterEntry,
    RunContract,
    TrainingMessage,
)

BANK, HUB = Signer.generate(), Signer.generate()
REGISTRY = Registry(
    1,
    (
        PartyRecord(
            "coordinator", frozenset({Role.COORDINATOR}), HUB.verify_key, "", date.min
        ),
    ),
    HUB.verify_key,
)


def nothing(*_: object) -> None:
    """Take what the session tells its surroundings."""


def no_script(script: object) -> NoReturn:
    raise AssertionError(f"{script} is not due")


def no_keys(purpose: str) -> list[SignedKey]:
    assert purpose == "run:r1"
    return []


@pytest.fixture(scope="module")
def workers() -> Generator[PaillierWorkers]:
    made = PaillierWorkers(1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture
def session(private: PrivateKey, workers: PaillierWorkers) -> RunSession:
    contract = RunContract(
        run="r1",
        label_holder="bank",
        roster=[RosterEntry(party=name) for name in ("bank", "bureau", "market")],
    )
    empty = Columns(Entities.of(()), (), np.zeros(0, np.int8), np.zeros(0, np.bool_))
    around = Surroundings(
        party="bank",
        coordinator="coordinator",
        signer=BANK,
        registry=REGISTRY,
        private_key=private,
        workers=workers,
        source=empty,
        send=nothing,
        publish=nothing,
        directory=no_keys,
        clock=lambda: 1.8e9,
        step_timeout_s=1.0,
        min_rows=200,
    )
    return RunSession(around, contract, contract.SerializeToString())


@pytest.mark.parametrize("step", ["counts", "join", "polish-1", "register", ""])
def test_only_the_contracts_next_step_is_done(session: RunSession, step: str) -> None:
    session.join()
    with pytest.raises(RefusedError, match="not the contract's next step"):
        session.perform(step, b"")
    # After that the run is over: nobody may try the steps one after the other.
    with pytest.raises(RefusedError, match="not the contract's next step"):
        session.perform("rows", b"")


def test_a_step_that_failed_is_not_done_again(session: RunSession) -> None:
    session.join()
    with pytest.raises(TrainingError, match="published no key") as caught:
        session.perform("rows", b"")
    assert caught.value.party == "bank, bureau, coordinator, market"
    with pytest.raises(RefusedError):
        session.perform("rows", b"")


def test_a_node_set_back_to_an_older_state_masks_with_other_keys(
    session: RunSession,
) -> None:
    """A restored image or a cloned disk does not know that it has joined."""
    clone = RunSession(session.around, session.contract, session.contract_bytes)
    first, second = (
        ReceivingKey.FromString(each.join().body) for each in (session, clone)
    )
    assert (first.party, first.purpose) == (second.party, second.purpose)
    for name in ("mask", "hpke", "nonce"):
        assert getattr(first, name) != getattr(second, name)


def test_a_run_that_is_over_opens_nothing(session: RunSession) -> None:
    session.join()
    session.forget()
    with pytest.raises(TrainingError, match="over"):
        session.receive(b"sealed to keys of the run")
    assert session.rows == 0


@pytest.mark.parametrize(("parts", "waited"), [(0, 0), (19, 1)])
def test_a_message_that_comes_after_parts_of_rows_is_waited_for_longer(
    session: RunSession, parts: int, waited: int
) -> None:
    session.around = replace(session.around, step_timeout_s=0.05)
    wait = session._wait  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(TrainingError, match=f"within {waited} s") as caught:
        wait(Await("cross_shares", ("bureau",), parts))
    assert caught.value.party == "bureau"


def test_a_run_that_is_over_keeps_no_message(session: RunSession) -> None:
    session.join()
    message = TrainingMessage(encrypted_rows=EncryptedRows(ciphertexts=bytes(9)))
    session.mailbox.put("bureau", message)
    with pytest.raises(TrainingError, match="encrypted_rows"):
        session.mailbox.check_empty()
    session.forget()
    session.mailbox.put("bureau", message)  # it was on its way
    session.mailbox.check_empty()


@pytest.mark.parametrize(
    ("rows", "own", "sentence", "place"),
    [
        (301, 250, "more rows than its contract", "301 rows, max_rows = 300"),
        (300, 199, "fewer rows than this node", "300 rows, 199 of them known here"),
    ],
)
def test_rows_outside_the_limits_are_refused_and_the_chooser_named(
    session: RunSession, rows: int, own: int, sentence: str, place: str
) -> None:
    session.contract.max_rows = 300
    around, contract = session.around, session.contract
    keys = RunKeys(around, contract, session.contract_bytes)
    part = VerticalPart(around, contract, keys, no_script)
    part.check_rows(Alignment(np.arange(200), 300))
    positions = np.where(np.arange(rows) < own, np.arange(rows), -1)
    with pytest.raises(RefusedError, match=sentence) as caught:
        part.check_rows(Alignment(positions, rows))
    assert (caught.value.party, caught.value.place) == ("coordinator", place)
    assert caught.value.remedy
