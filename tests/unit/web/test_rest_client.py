"""What a running program refuses reaches the command whole, with its exit code."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.web.sample_coordinator import TOKEN as COORDINATOR_TOKEN
from tests.unit.web.sample_coordinator import SampleCoordinator
from tests.unit.web.sample_node import FIRMS, TOKEN, SampleNode
from veilscore.coordinator.errors import ContractError
from veilscore.fault import Fault
from veilscore.keys import files
from veilscore.keys.errors import FileError, ProofError
from veilscore.node.errors import (
    CoordinatorRefusedError,
    HolderRefusedError,
    NoAnswerError,
    SourceError,
)
from veilscore.runtime.errors import UnreachableError, WireError
from veilscore.runtime.rest_client import ProblemError, Program, RestClient

ASK: dict[str, object] = {
    "entities": [{"type": "uscc", "id": FIRMS[0]}],
    "purpose": "pre_loan",
    "consent": "C-2026-0917",
}


def program(folder: Path, address: str, token: str = TOKEN) -> Program:
    host, _, port = address.removeprefix("http://").rpartition(":")
    token_file = folder / "web.token"
    files.replace(token_file, token.encode())
    return Program(
        name="the node",
        party="bank",
        host=host,
        port=int(port),
        token_file=token_file,
        start="veilscore node run --config bank/node.toml",
        timeout_s=20.0,
    )


@pytest.fixture
def site(
    node: SampleNode, node_site: tuple[SampleNode, str], tmp_path: Path
) -> Program:
    assert node is node_site[0]
    return program(tmp_path, node_site[1])


def refused(site: Program, body: object = ASK) -> ProblemError:
    with RestClient(site) as client, pytest.raises(ProblemError) as caught:
        client.send("POST", "/v1/scores", json=body)
    return caught.value


def test_an_answer_comes_back_as_the_kind_that_was_asked_for(site: Program) -> None:
    with RestClient(site) as client:
        found = client.ask(dict[str, object], "GET", "/v1/status")
        assert found["party"] == "bank-yuzhong"
        with pytest.raises(WireError, match="answer of the node cannot be read"):
            client.ask(list[str], "GET", "/v1/status")


@pytest.mark.parametrize(
    ("fault", "exit_code"),
    [
        (HolderRefusedError("no", reason="two-party", party="regulator"), 6),
        (CoordinatorRefusedError("no", reason="registry", remedy="Join again."), 6),
        (NoAnswerError("no", party="regulator", remedy="Ask again."), 4),
        (UnreachableError("no", place="hub:9443", remedy="Wait."), 4),
        (SourceError("no", place="borrowers.csv, data row 3", remedy="Quote it."), 5),
        (ProofError("no", place="entry 7", remedy="Tell an auditor."), 7),
        (Fault("no", remedy="Look."), 1),
    ],
)
def test_party_place_and_remedy_arrive(
    node: SampleNode, site: Program, fault: Fault, exit_code: int
) -> None:
    node.fault = fault
    error = refused(site)
    assert error.what == "no"
    assert (error.code, error.place, error.remedy) == (
        fault.code,
        fault.place,
        fault.remedy,
    )
    assert error.party == (fault.party or "bank")
    assert error.exit_code == exit_code


def test_a_contract_is_refused_as_a_configuration_is(
    coordinator: SampleCoordinator,
    coordinator_site: tuple[SampleCoordinator, str],
    tmp_path: Path,
) -> None:
    coordinator.fault = ContractError("the key `rigde` is unknown", remedy="Rename it.")
    site = program(tmp_path, coordinator_site[1], COORDINATOR_TOKEN)
    with RestClient(site) as client, pytest.raises(ProblemError) as caught:
        client.send("POST", "/v1/runs", text="rigde = 1")
    assert (caught.value.code, caught.value.exit_code) == ("contract", 2)
    assert caught.value.remedy == "Rename it."


def test_the_flaws_of_a_request_are_listed(site: Program) -> None:
    entities = [{"type": "uscc", "id": firm[:-1]} for firm in [*FIRMS, *FIRMS]]
    error = refused(site, {**ASK, "entities": entities})
    assert "/entities/0/id a credit code has 18 characters" in error.what
    assert error.what.endswith("; and 1 more")
    assert error.exit_code == 2
    assert error.remedy


def test_a_wrong_token_names_its_file(site: Program) -> None:
    files.replace(site.token_file, b"another-token-" + b"x" * 32)
    error = refused(site)
    assert (error.code, error.exit_code) == ("unauthorized", 2)
    assert str(site.token_file) in error.remedy
    assert "another-token" not in str(error)


def test_a_token_that_others_may_read_is_not_shown(site: Program) -> None:
    site.token_file.chmod(0o644)
    with pytest.raises(FileError, match="other users"):
        RestClient(site)


def test_a_program_that_does_not_run_is_to_be_started(site: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    with (
        RestClient(replace(site, port=port)) as client,
        pytest.raises(UnreachableError) as caught,
    ):
        client.send("GET", "/v1/status")
    assert caught.value.remedy == f"Start it with: {site.start}"
    assert caught.value.place == f"http://127.0.0.1:{port}"


@pytest.fixture
def canned() -> Iterator[tuple[int, list[bytes]]]:
    """A port whose program sends the bytes of a list, or nothing if it is empty."""
    answers: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            for answer in answers:
                connection.sendall(answer)
            if not answers:
                done.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], answers
        done.set()
        thread.join()


def test_a_slow_program_is_not_told_to_be_started(
    site: Program, canned: tuple[int, list[bytes]]
) -> None:
    slow = replace(site, port=canned[0], timeout_s=0.2)
    with RestClient(slow) as client, pytest.raises(UnreachableError) as caught:
        client.send("GET", "/v1/status")
    assert "has not answered within 0.2 s" in caught.value.what
    assert "log" in caught.value.remedy
    assert "Start" not in caught.value.remedy


def test_another_program_at_the_port_is_told_from_ours(
    site: Program, canned: tuple[int, list[bytes]]
) -> None:
    port, answers = canned
    answers.append(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n<html>")
    with (
        RestClient(replace(site, port=port)) as client,
        pytest.raises(ProblemError) as caught,
    ):
        client.send("GET", "/v1/status")
    assert caught.value.what == "the node answered 403 Forbidden"
    assert caught.value.place == f"http://127.0.0.1:{port}"
    assert "Check that this is where the node answers" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - not dialled
        ("::", "http://[::1]:80"),
        ("intranet.example", "http://intranet.example:80"),
    ],
)
def test_a_program_that_listens_everywhere_is_asked_here(
    site: Program, host: str, address: str
) -> None:
    assert replace(site, host=host, port=80).address == address
