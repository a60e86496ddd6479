"""The doctor names what is wrong and what to do, and changes nothing."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from veilscore.coordinator import config, folder, setup
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.doctor import examine
from veilscore.coordinator.log import LogService
from veilscore.runtime.checkup import Finding
from veilscore.v1.audit_pb2 import Started

NOW = 1_790_000_000.0
DAY_S = 86_400


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@pytest.fixture
def settings(tmp_path: Path) -> CoordinatorSettings:
    place = tmp_path / "coordinator"
    hub, flower, web = free_ports(3)
    setup.create(setup.NewCoordinator(place, "127.0.0.1", hub, flower, web), NOW)
    return config.read(place / "coordinator.toml")


def findings(settings: CoordinatorSettings, now: float = NOW) -> Mapping[str, Finding]:
    return {finding.check: finding for finding in examine(settings, now)}


def ill(found: Mapping[str, Finding]) -> set[str]:
    for finding in found.values():
        if finding.fault is not None:
            assert finding.fault.remedy, finding
    return {name for name, finding in found.items() if finding.fault is not None}


def test_a_new_coordinator_is_well(settings: CoordinatorSettings) -> None:
    found = findings(settings)
    assert ill(found) <= {"disk", "temporary folder", "byte-code"}  # of this machine
    assert found["keys and registry"].found == "registry version 1, 0 parties"
    assert found["audit log"].found.startswith("0 entries")


def test_everything_that_is_wrong_is_found_at_once(
    settings: CoordinatorSettings,
) -> None:
    settings.web.token_file.chmod(0o640)
    settings.registry.write_bytes(b"{}")
    with socket.create_server(("127.0.0.1", settings.flower.port)):
        found = findings(settings, NOW + 500 * DAY_S)
    assert ill(found) >= {"private files", "keys and registry", "certificate", "ports"}
    fault = found["private files"].fault
    assert fault is not None
    assert fault.place == str(settings.web.token_file)
    assert "expires in 2" in found["certificate"].found
    assert str(settings.flower.port) in found["ports"].found


def test_a_wrong_passphrase_and_a_lost_log_are_found(
    settings: CoordinatorSettings,
) -> None:
    (settings.state / folder.LOG).unlink()
    assert ill(findings(settings)) >= {"audit log", "clock"}
    settings.passphrase_file.write_text("another\n")
    assert ill(findings(settings)) >= {"keys and registry", "certificate"}


def test_a_clock_that_ran_backwards_is_found(settings: CoordinatorSettings) -> None:
    signer = folder.open_signer(settings)
    store = folder.open_log(settings, signer)
    cosigning = Cosigning(store, folder.open_policy(settings))
    log = LogService(store, folder.open_registry(settings), signer, cosigning)
    log.append_own(Started(), correlation="", now_ms=round(NOW * 1000))
    store.close()
    assert "clock" not in ill(findings(settings, NOW + 1))
    found = findings(settings, NOW - 600)
    assert "600 s behind" in found["clock"].found


def test_a_running_coordinator_may_hold_its_ports(
    settings: CoordinatorSettings,
) -> None:
    addresses = [
        (each.host, each.port) for each in (settings.hub, settings.flower, settings.web)
    ]
    servers = [socket.create_server(address) for address in addresses]
    found = findings(settings)
    for server in servers:
        server.close()
    assert "ports" not in ill(found)
    assert "running" in found["ports"].found


def test_missing_files_are_findings_not_crashes(settings: CoordinatorSettings) -> None:
    for path in settings.keystore.parent.iterdir():
        if path.is_file() and path.name != "coordinator.toml":
            path.unlink()
    found = findings(settings)
    assert ill(found) >= {"private files", "keys and registry", "certificate"}
