"""An auditor's folder: made once, joined by its own kit, and good for a browser."""

import json
import stat
import time
import warnings
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import pkcs12

from veilscore.coordinator import config, folder, setup
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import (
    ExpiredCertificateError,
    InvalidKeyError,
    KeystoreError,
    RegistryError,
    SignatureError,
)
from veilscore.keys.registry import Role
from veilscore.runtime.audit.auditor import Auditor, enroll
from veilscore.runtime.errors import ConfigError

with warnings.catch_warnings():
    # typer 0.20, the newest that flwr 1.41 allows, imports what click 8.5 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from typer.testing import CliRunner

    from veilscore.runtime.audit.commands import app

YEARS_S = 3 * 365 * 86_400


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def settings(tmp_path: Path) -> CoordinatorSettings:
    place = tmp_path / "coordinator"
    setup.create(setup.NewCoordinator(place, "hub.example", 9443, 9444, 9080), now())
    return config.read(place / "coordinator.toml")


@pytest.fixture
def pinned(settings: CoordinatorSettings) -> str:
    return folder.open_signer(settings).verify_key.fingerprint.hex()


def now() -> float:
    return time.time()


def kit_of(
    settings: CoordinatorSettings, own: Path, fingerprint: bytes, at: float = 0
) -> Path:
    card = (own / "card.json").read_bytes()
    admission = setup.admit(settings, card, fingerprint, at or now())
    assert admission.record.roles == {Role.AUDITOR}
    assert not admission.record.flower_key
    assert admission.record.paillier is None
    path = own.with_suffix(".kit")
    path.write_bytes(admission.kit)
    return path


def test_an_auditor_enrolls_and_joins(
    settings: CoordinatorSettings, pinned: str, tmp_path: Path
) -> None:
    own = tmp_path / "office"
    made = run("enroll", own, "--name", "audit-office")
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in own.iterdir() if p.is_file()} == {
        0o600
    }
    told = next(word for word in made.stdout.split() if len(word) == 64)
    kit = kit_of(settings, own, bytes.fromhex(told))
    joined = run("join", kit, "--as", own, "--fingerprint", pinned)
    assert joined.exit_code == 0, joined.output
    assert "audit-office, coordinator" in joined.stdout
    identity = Auditor.open(own).identity()
    assert Certificate.parse(identity.certificate).party == "audit-office"
    assert Auditor.open(own).policy.read_bytes() == settings.log.policy.read_bytes()
    assert "PRIVATE" not in repr(identity)


def test_a_certificate_for_a_browser_opens_with_its_password(
    settings: CoordinatorSettings, pinned: str, tmp_path: Path
) -> None:
    own = tmp_path / "office"
    kit = kit_of(settings, own, enroll(own, "audit-office"))
    assert run("join", kit, "--as", own, "--fingerprint", pinned).exit_code == 0
    out = tmp_path / "office.p12"
    written = run("certificate", "--as", own, "--out", out, "--json")
    assert written.exit_code == 0, written.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    password = json.loads(written.stdout)["password"].encode()
    key, certificate, roots = pkcs12.load_key_and_certificates(
        out.read_bytes(), password
    )
    assert key is not None
    assert certificate is not None
    assert key.public_key() == certificate.public_key()
    assert len(roots) == 1
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(out.read_bytes(), b"another")
    assert run("certificate", "--as", own, "--out", out).exit_code == 2


def test_another_kit_is_refused(
    settings: CoordinatorSettings, pinned: str, tmp_path: Path
) -> None:
    own, other = tmp_path / "office", tmp_path / "other"
    kit_of(settings, own, enroll(own, "audit-office"))
    strange = kit_of(settings, other, enroll(other, "other-office"))
    found = run("join", strange, "--as", own, "--fingerprint", pinned)
    assert isinstance(found.exception, RegistryError)
    kit = own.with_suffix(".kit")
    found = run("join", kit, "--as", own, "--fingerprint", "00" * 32)
    assert isinstance(found.exception, SignatureError | RegistryError | InvalidKeyError)
    assert run("join", kit, "--as", own, "--fingerprint", "").exit_code == 2
    assert not (own / "kit.json").exists()
    with pytest.raises(KeystoreError, match="not joined") as caught:
        Auditor.open(own).identity()
    assert "audit join" in caught.value.remedy


def test_an_expired_certificate_is_told_before_anybody_is_asked(
    settings: CoordinatorSettings, pinned: str, tmp_path: Path
) -> None:
    own = tmp_path / "office"
    kit = kit_of(settings, own, enroll(own, "audit-office"), at=now() - YEARS_S)
    assert run("join", kit, "--as", own, "--fingerprint", pinned).exit_code == 0
    asked = ("--from", "https://127.0.0.1:1", "--as", own)
    found = run("export", *asked, "--out", tmp_path / "log.tar")
    assert isinstance(found.exception, ExpiredCertificateError)


def test_no_log_is_read_as_somebody_where_no_certificate_is_shown(
    settings: CoordinatorSettings, pinned: str, tmp_path: Path
) -> None:
    own = tmp_path / "office"
    kit = kit_of(settings, own, enroll(own, "audit-office"))
    assert run("join", kit, "--as", own, "--fingerprint", pinned).exit_code == 0
    asked = ("--from", "http://127.0.0.1:1", "--as", own)
    found = run("export", *asked, "--out", tmp_path / "log.tar")
    assert isinstance(found.exception, ConfigError)
    assert found.exception.place == "http://127.0.0.1:1"
    assert "https" in found.exception.remedy
    assert not list(tmp_path.glob("log.tar*"))


def test_a_folder_is_made_once_and_names_have_rules(tmp_path: Path) -> None:
    enroll(tmp_path / "office", "audit-office")
    with pytest.raises(ConfigError, match="not empty"):
        enroll(tmp_path / "office", "audit-office")
    with pytest.raises(RegistryError):
        enroll(tmp_path / "new", "No Name")
    assert not (tmp_path / "new").exists()
