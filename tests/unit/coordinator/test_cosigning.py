"""Rounds of cosigning, with witnesses over HTTP that come, go and disagree."""

import gzip
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response

from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, Parties, SampleLog
from tests.unit.tlog.witnessed_log import WitnessedLog, witnessed_log
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.log import LogService
from veilscore.keys.errors import ContradictedLogError, LogPolicyError, LogStoreError
from veilscore.keys.tlog.log_policy import KnownWitness, LogPolicy
from veilscore.keys.tlog.witness import Submission
from veilscore.runtime.errors import UnreachableError, WireError
from veilscore.runtime.web.server import WebServer
from veilscore.runtime.witness.app import MAX_BODY, witness_app
from veilscore.runtime.witness.client import AheadError, WitnessClient
from veilscore.v1.audit_pb2 import Started


class Site:
    """One witness's address, which can go away and come back at the same port."""

    def __init__(self, log: WitnessedLog, number: int) -> None:
        self._app = witness_app(log.observers[number].witness)
        self._port = 0
        self._server: WebServer | None = None
        self.come()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        self._server = WebServer(self._app, "127.0.0.1", self._port)
        self._port = int(self._server.start().rpartition(":")[2])

    def leave(self) -> None:
        if self._server:
            self._server.stop()
        self._server = None


class Rounds:
    """A witnessed log, its witnesses' addresses, and the coordinator's service."""

    def __init__(self, log: WitnessedLog) -> None:
        self.log = log
        self.sites = [Site(log, number) for number in range(2)]
        text = log.policy_text(*(site.url for site in self.sites))
        self.policy = LogPolicy.parse(text.encode())
        self.cosigning = Cosigning(log.store, self.policy)
        hub = log.parties.signers["hub"]
        self.service = LogService(log.store, log.parties.registry, hub, self.cosigning)

    def close(self) -> None:
        self.cosigning.close()
        for site in self.sites:
            site.leave()


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[WitnessedLog]:
    with witnessed_log(tmp_path, parties) as made:
        yield made


@pytest.fixture
def rounds(log: WitnessedLog) -> Iterator[Rounds]:
    made = Rounds(log)
    yield made
    made.close()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_receipt_leads_to_a_checkpoint_of_the_quorum(rounds: Rounds) -> None:
    rounds.cosigning.start()
    for event in rounds.log.parties.events("bank", 3):
        (proof,) = rounds.service.append([event.leaf])
        rounds.policy.open(proof.checkpoint)
        proof.verify(event.leaf, rounds.log.store.key)
    rounds.policy.open(rounds.service.checkpoint())
    assert rounds.cosigning.faults() == []


def test_what_was_not_final_at_the_last_stop_becomes_so(rounds: Rounds) -> None:
    rounds.log.fill(300, "bank")
    assert "\n0\n" in rounds.service.checkpoint()
    rounds.cosigning.start()
    assert rounds.cosigning.wait(300, 20)
    assert rounds.policy.open(rounds.service.checkpoint()).size == 300


def test_many_callers_share_rounds(rounds: Rounds) -> None:
    rounds.cosigning.start()
    leaves = [
        event.leaf
        for actor in ("bank", "market", "bureau")
        for event in rounds.log.parties.events(actor, 1)
    ]
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(rounds.service.append, [leaf]) for leaf in leaves]
        proofs = [proof for call in calls for proof in call.result()]
    for leaf, proof in zip(leaves, proofs, strict=True):
        proof.verify(leaf, rounds.log.store.key)
        rounds.policy.open(proof.checkpoint)


def test_without_a_quorum_the_log_goes_on_and_shows_nothing_new(
    rounds: Rounds,
) -> None:
    rounds.cosigning.start()
    first, second, third = rounds.log.parties.events("bank", 3)
    rounds.service.append([first.leaf])
    rounds.sites[1].leave()
    (proof,) = rounds.service.append([second.leaf])
    assert rounds.policy.open_signed(proof.checkpoint).size == 2
    assert not rounds.policy.is_witnessed(proof.checkpoint)
    assert rounds.policy.open(rounds.service.checkpoint()).size == 1
    (fault,) = rounds.cosigning.faults()
    assert fault.startswith("bureau: does not answer")
    began = time.monotonic()
    rounds.service.append([third.leaf])
    assert time.monotonic() - began < 3  # nobody waits for who does not answer
    rounds.sites[1].come()
    until(lambda: rounds.policy.open(rounds.service.checkpoint()).size == 3)
    (again,) = rounds.service.append([second.leaf])
    rounds.policy.open(again.checkpoint)
    assert rounds.cosigning.faults() == []


def test_the_coordinators_own_events_are_cosigned_too(rounds: Rounds) -> None:
    rounds.cosigning.start()
    rounds.service.append_own(Started(version="1"), correlation="", now_ms=NOW_MS)
    assert rounds.cosigning.wait(1, 20)
    assert rounds.policy.open(rounds.service.checkpoint()).size == 1


@contextmanager
def _another(folder: Path, parties: Parties, count: int) -> Generator[SampleLog]:
    folder.mkdir()
    other = SampleLog(folder, parties)
    other.fill(count, "market")
    yield other
    other.store.close()


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_witness_that_saw_another_log_ends_everything(
    rounds: Rounds, parties: Parties, tmp_path: Path, count: int
) -> None:
    """Shorter, as long or longer than what this log is now."""
    with _another(tmp_path / "other", parties, count) as other:
        body = Submission(0, (), other.store.signed()).body
        rounds.log.observers[0].witness.add_checkpoint(body)
    rounds.log.fill(3, "bank")
    rounds.cosigning.start()
    with pytest.raises(ContradictedLogError) as caught:
        rounds.cosigning.wait(3, 20)
    assert caught.value.party == "auditor"
    (event,) = rounds.log.parties.events("market", 1)
    with pytest.raises(ContradictedLogError):
        rounds.service.append([event.leaf])
    with pytest.raises(ContradictedLogError):
        rounds.service.append_own(Started(), correlation="", now_ms=NOW_MS)
    assert rounds.log.store.size == 3
    assert "does not continue" in rounds.cosigning.faults()[0]
    found = rounds.log.observers[0].found
    assert bool(found) is (count != 9)  # then it was not even shown this log
    assert any(each.is_proof for each in found) is (count == 3)


def test_a_stop_waits_for_no_witness(rounds: Rounds) -> None:
    rounds.cosigning.start()
    rounds.sites[0].leave()
    rounds.log.fill(1, "bank")
    rounds.cosigning.cover()
    waiting = threading.Thread(target=rounds.cosigning.wait, args=(1, 60))
    waiting.start()
    began = time.monotonic()
    rounds.cosigning.close()
    waiting.join(10)
    assert time.monotonic() - began < 5
    assert not waiting.is_alive()


def test_a_policy_must_name_this_log_and_where_its_witnesses_are(
    log: WitnessedLog,
) -> None:
    with pytest.raises(LogPolicyError, match="auditor has no address"):
        Cosigning(log.store, log.policy)
    with pytest.raises(LogPolicyError, match="does not name this log") as caught:
        Cosigning(log.store, LogPolicy.parse(b"quorum none"))
    assert log.store.key.vkey in caught.value.remedy


def test_a_witness_answers_over_http_as_the_specification_says(
    rounds: Rounds,
) -> None:
    rounds.log.fill(2, "bank")
    url = f"{rounds.sites[0].url}/add-checkpoint"
    good = httpx.post(url, content=rounds.log.submission(0).body)
    assert good.status_code == 200
    assert good.text.startswith("— auditor.example/witness ")
    again = httpx.post(url, content=rounds.log.submission(0).body)
    assert (again.status_code, again.text) == (409, "2\n")
    assert again.headers["content-type"].partition(";")[0] == "text/x.tlog.size"
    assert httpx.post(url, content=b"old").status_code == 400
    assert httpx.post(url, content=bytes(MAX_BODY + 1)).status_code == 413
    assert httpx.get(f"{rounds.sites[0].url}/{'0' * 64}/checkpoint").status_code == 404
    assert httpx.get(url).status_code == 405
    assert httpx.get(f"{rounds.sites[0].url}/readyz").is_success


def test_what_a_witness_may_not_answer_is_named(rounds: Rounds) -> None:
    rounds.log.fill(2, "bank")
    note = rounds.log.store.signed()
    auditor, bureau = rounds.policy.witnesses.values()
    with ExitStack() as open_clients:

        def client(name: str, known: KnownWitness) -> WitnessClient:
            made = WitnessClient(name, known, rounds.log.store)
            open_clients.callback(made.close)
            return made

        # The bureau's address, the auditor's key.
        mixed = KnownWitness(auditor.key, bureau.url)
        with pytest.raises(WireError, match="another key"):
            client("auditor", mixed).cosign(note, 2)
        nowhere = KnownWitness(auditor.key, "http://127.0.0.1:1")
        with pytest.raises(UnreachableError, match="does not answer"):
            client("auditor", nowhere).cosign(note, 2)
        stranger = note.replace(ORIGIN, "stranger.example/log")
        with pytest.raises(WireError, match="answers 404"):
            client("auditor", auditor).cosign(stranger, 2)


class Liar:
    """A witness that answers whatever a test wants, at an address of its own."""

    def __init__(self) -> None:
        self.answers: list[Response] = []
        self.asked = 0
        app = FastAPI()

        @app.post("/add-checkpoint")
        def add() -> Response:
            self.asked += 1
            return self.answers[min(self.asked, len(self.answers)) - 1]

        self._server = WebServer(app, "127.0.0.1", 0)
        self.url = self._server.start()

    def close(self) -> None:
        self._server.stop()


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


def one_of_two(rounds: Rounds, liar: Liar) -> Cosigning:
    """Let any of the auditor and a liar in the bureau's place be enough."""
    text = rounds.log.policy_text(rounds.sites[0].url, liar.url)
    policy = LogPolicy.parse(text.replace(" all auditor", " any auditor").encode())
    return Cosigning(rounds.log.store, policy)


def compressed(size: int) -> Response:
    packed = gzip.compress(bytes(size), mtime=0)  # its test has one name
    return Response(packed, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    "answer",
    [
        Response("999999999\n", 409),
        Response("0\n", 409),
        Response("many\n", 409),
        Response("", 422),
        Response("no line\n"),
        Response("x", media_type="text/plain; charset=hex"),
        compressed(100_000_000),
        Response(bytes(100_000)),
    ],
    ids=lambda answer: f"{answer.status_code} {bytes(answer.body)[:12]!r}",
)
def test_no_answer_of_one_witness_halts_the_log(
    rounds: Rounds, liar: Liar, answer: Response
) -> None:
    liar.answers = [answer]
    cosigning = one_of_two(rounds, liar)
    rounds.log.fill(1, "bank")
    cosigning.start()
    assert cosigning.wait(1, 20)

    def asked_again() -> list[str]:
        # A round may end before the liar has heard of it.
        rounds.log.fill(1, "bureau")
        cosigning.cover()
        assert cosigning.wait(rounds.log.store.size, 20)
        return cosigning.faults()

    until(asked_again)
    cosigning.check()
    assert cosigning.faults()[0].startswith("bureau: ")
    cosigning.close()


def test_many_lines_of_one_witness_are_one(rounds: Rounds, liar: Liar) -> None:
    """A note may not have more than 64."""
    rounds.log.fill(1, "bank")
    auditor = rounds.log.observers[0].witness
    auditor.add_checkpoint(rounds.log.submission(0).body)
    again = Submission(1, (), rounds.log.store.signed()).body
    lines = "".join(auditor.add_checkpoint(again) for _ in range(70))
    liar.answers = [Response(lines)]
    witness = KnownWitness(auditor.key, liar.url)
    client = WitnessClient("auditor", witness, rounds.log.store)
    assert client.cosign(rounds.log.store.signed(), 1) in lines.splitlines(
        keepends=True
    )
    client.close()


def test_a_witness_that_is_ahead_of_the_round_ends_nothing(rounds: Rounds) -> None:
    """Somebody has handed it a newer checkpoint of this log, as anybody may."""
    rounds.log.fill(2, "bank")
    old = rounds.log.store.signed()
    rounds.log.fill(1, "bank")
    rounds.log.observers[0].witness.add_checkpoint(rounds.log.submission(0).body)
    client = WitnessClient(
        "auditor", rounds.policy.witnesses["auditor"], rounds.log.store
    )
    with pytest.raises(AheadError):
        client.cosign(old, 2)
    client.close()
    rounds.cosigning.start()
    assert rounds.cosigning.wait(3, 20)
    assert rounds.cosigning.faults() == []


def test_rounds_whose_end_cannot_be_kept_are_not_repeated_without_pause(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(note: str) -> None:
        tried.append(note)
        raise LogStoreError("the disk is full")

    finalise = rounds.log.store.finalise
    monkeypatch.setattr(rounds.log.store, "finalise", fail)
    rounds.log.fill(1, "bank")
    rounds.cosigning.start()
    assert not rounds.cosigning.wait(1, 2.5)
    assert 1 <= len(tried) <= 4
    assert rounds.cosigning.faults() == ["cosigned checkpoints cannot be kept"]
    monkeypatch.setattr(rounds.log.store, "finalise", finalise)
    assert rounds.cosigning.wait(1, 20)
    until(lambda: not rounds.cosigning.faults())
