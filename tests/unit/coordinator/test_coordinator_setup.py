"""``init`` and ``admit``: what stands in the folder, and who gets in."""

import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from veilscore.coordinator import config, folder, setup
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.keys.certificates import Certificate, FlowerKey, TlsKey
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.errors import InvalidKeyError, KeysError, RegistryError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Registry, Role
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.runtime.errors import ConfigError

NOW = 1_790_000_000.0
DAY_S = 86_400


@dataclass
class Made:
    settings: CoordinatorSettings
    fingerprint: bytes

    @property
    def registry(self) -> Registry:
        return Registry.load(self.settings.registry.read_bytes(), self.fingerprint)


def new(path: Path, host: str = "127.0.0.1") -> setup.NewCoordinator:
    return setup.NewCoordinator(path, host, 9443, 9444, 9080)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    fingerprint = setup.create(new(tmp_path / "coordinator", "hub.example"), NOW)
    return Made(config.read(tmp_path / "coordinator" / "coordinator.toml"), fingerprint)


def card(
    signer: Signer,
    name: str = "bank",
    role: Role = Role.DATA_HOLDER,
    *,
    tls: TlsKey | None = None,
    flower: FlowerKey | None = None,
) -> bytes:
    request = (tls or TlsKey.generate()).request(name)
    flower_key = (flower or FlowerKey.generate()).public_pem()
    return PartyCard.sign(signer, name, {role}, request, flower_key)


def admit(made: Made, data: bytes, now: float = NOW) -> setup.Admission:
    """Admit a card whose author has told its fingerprint."""
    try:
        told = PartyCard.load(data).key.fingerprint
    except KeysError:
        told = bytes(32)
    return setup.admit(made.settings, data, told, now)


def test_the_folder_holds_what_the_documentation_says(made: Made) -> None:
    root = made.settings.keystore.parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()}
    assert modes == {
        "authority.pem": 0o600,
        "coordinator.pem": 0o600,
        "coordinator.toml": 0o600,
        "keystore": 0o600,
        "log-guard.db": 0o600,
        "log-policy.txt": 0o600,
        "passphrase": 0o600,
        "registry.json": 0o600,
        "state": 0o700,
        "web.token": 0o600,
    }
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    keystore = folder.open_keystore(made.settings)
    assert keystore.names() == ("authority", "signing", "tls")
    certificate = Certificate.parse(made.settings.certificate.read_bytes())
    assert certificate.party == "coordinator"
    assert len(made.registry.records) == made.registry.version == 1
    assert made.registry.coordinator.key.fingerprint == made.fingerprint


def test_the_log_begins_empty_and_is_never_begun_again(made: Made) -> None:
    signer = folder.open_signer(made.settings)
    store = folder.open_log(made.settings, signer)
    key = NoteKey(folder.origin(signer.verify_key), signer.verify_key)
    assert open_checkpoint(store.checkpoint(), key).size == 0
    store.close()
    (made.settings.state / folder.LOG).unlink()
    with pytest.raises(KeysError, match="there is no log"):
        folder.open_log(made.settings, signer)


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        setup.create(new(tmp_path), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104 - refused
def test_a_host_that_nobody_can_dial_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="cannot dial"):
        setup.create(new(tmp_path / "new", host), NOW)
    assert not (tmp_path / "new").exists()


def test_a_passphrase_of_ones_own_is_named_in_the_configuration(tmp_path: Path) -> None:
    passphrase = tmp_path / "pass 'phrase'\"" / "file"
    passphrase.parent.mkdir()
    passphrase.write_text("a passphrase\n")
    passphrase.chmod(0o600)
    place = tmp_path / "coordinator"
    setup.create(
        setup.NewCoordinator(place, "127.0.0.1", 1, 2, 3, passphrase_file=passphrase),
        NOW,
    )
    settings = config.read(place / "coordinator.toml")
    assert settings.passphrase_file == passphrase
    assert folder.open_keystore(settings).names()
    assert not (place / "passphrase").exists()


def test_a_party_gets_a_kit_that_verifies(made: Made) -> None:
    bank, tls = Signer.generate(), TlsKey.generate()
    admission = admit(made, card(bank, tls=tls), NOW)
    kit = WelcomeKit.load(admission.kit, made.fingerprint, "bank")
    tls.check_certificate(kit.certificate)
    Certificate.parse(kit.certificate).check(NOW + DAY_S)
    assert kit.registry == made.registry
    assert kit.addresses == {
        "hub": "hub.example:9443",
        "flower": "hub.example:9444",
        "server_name": "hub.example",
    }
    policy = LogPolicy.parse(kit.log_policy)
    origin = folder.origin(kit.registry.coordinator.key)
    assert policy.logs == {origin: NoteKey(origin, kit.registry.coordinator.key)}
    assert not policy.needs_witnesses
    record = made.registry.party("bank")
    assert record == admission.record
    assert record.key == bank.verify_key
    assert made.registry.version == admission.registry_version == 2
    assert stat.S_IMODE(made.settings.registry.stat().st_mode) == 0o600


def test_every_admission_is_a_new_version(made: Made) -> None:
    for number, name in enumerate(("bank", "bureau", "market"), start=2):
        admit(made, card(Signer.generate(), name), NOW)
        assert made.registry.version == number
    assert {record.name for record in made.registry.records} == {
        "bank", "bureau", "coordinator", "market",
    }  # fmt: skip


def test_a_party_may_come_again_with_new_tls_and_flower_keys(made: Made) -> None:
    bank = Signer.generate()
    first = admit(made, card(bank), NOW).record
    tls = TlsKey.generate()
    later = admit(made, card(bank, tls=tls), NOW + 400 * DAY_S)
    assert later.record.joined == first.joined
    assert later.record.flower_key != first.flower_key
    kit = WelcomeKit.load(later.kit, made.fingerprint, "bank")
    tls.check_certificate(kit.certificate)
    assert len(made.registry.records) == 2


def refused(made: Made, data: bytes, error: type[KeysError], match: str) -> None:
    before = made.settings.registry.read_bytes()
    with pytest.raises(error, match=match):
        admit(made, data)
    assert made.settings.registry.read_bytes() == before


def test_nobody_takes_a_registered_name_or_key(made: Made) -> None:
    bank, flower = Signer.generate(), FlowerKey.generate()
    admit(made, card(bank, flower=flower), NOW)
    thief = Signer.generate()
    refused(made, card(thief), RegistryError, "another signing key")
    refused(made, card(bank, "bureau"), RegistryError, "same signing key")
    refused(made, card(thief, "bureau", flower=flower), RegistryError, "Flower key")
    refused(made, card(thief, "coordinator"), RegistryError, "another signing key")
    refused(
        made, card(thief, "usurper", Role.COORDINATOR), RegistryError, "as coordinator"
    )


def test_a_card_of_somebody_else_is_refused_by_its_fingerprint(made: Made) -> None:
    bank, thief = Signer.generate(), Signer.generate()
    with pytest.raises(RegistryError, match="not by the party's") as caught:
        setup.admit(made.settings, card(thief), bank.verify_key.fingerprint, NOW)
    assert caught.value.remedy
    assert len(made.registry.records) == 1


def test_an_expelled_party_keeps_its_name_and_nothing_else(made: Made) -> None:
    bank = Signer.generate()
    admit(made, card(bank))
    assert setup.expel(made.settings, "bank") == made.registry.version == 3
    record = made.registry.party("bank")
    assert not record.roles
    assert record.key == bank.verify_key  # what it signed still verifies
    refused(made, card(Signer.generate()), RegistryError, "another signing key")
    admit(made, card(bank))
    assert made.registry.party("bank").roles == {Role.DATA_HOLDER}
    for party, match in (("coordinator", "cannot be expelled"), ("market", "market")):
        with pytest.raises(RegistryError, match=match):
            setup.expel(made.settings, party)


def test_a_card_that_was_changed_is_refused(made: Made) -> None:
    data = card(Signer.generate()).replace(b'"bank"', b'"bunk"')
    refused(made, data, KeysError, "signature")


def test_the_configuration_refuses_keys_it_does_not_know(made: Made) -> None:
    path = made.settings.keystore.parent / "coordinator.toml"
    text = path.read_text()
    assert tomllib.loads(text)["hub"] == {
        "host": "hub.example",
        "port": 9443,
        "listen_everywhere": False,
    }
    path.write_text(text + 'passphrase = "secret words"\n')
    with pytest.raises(ConfigError, match="passphrase") as caught:
        config.read(path)
    assert "secret words" not in str(caught.value)


def test_nodes_dial_one_host_and_the_coordinator_may_listen_at_all(made: Made) -> None:
    path = made.settings.keystore.parent / "coordinator.toml"
    text = path.read_text()
    path.write_text(text.replace("everywhere = false", "everywhere = true"))
    hub = config.read(path).hub
    assert (hub.address, hub.listen_address) == ("hub.example:9443", "0.0.0.0:9443")
    assert hub.local_host == "127.0.0.1"
    path.write_text(text.replace("hub.example", "::"))
    with pytest.raises(ConfigError, match="nodes can dial"):
        config.read(path)


def test_an_expired_certificate_is_told_with_its_remedy(made: Made) -> None:
    keystore = folder.open_keystore(made.settings)
    before = folder.open_identity(made.settings, keystore, NOW).certificate
    late = NOW + 731 * DAY_S
    with pytest.raises(InvalidKeyError, match="expired on") as caught:
        folder.open_identity(made.settings, keystore, late)
    assert caught.value.place == str(made.settings.certificate)
    assert "coordinator renew" in caught.value.remedy
    renewed = setup.renew(made.settings, late)
    assert renewed.not_after > late + 700 * DAY_S
    assert folder.open_identity(made.settings, keystore, late).certificate != before


def test_a_registry_of_another_coordinator_is_refused(
    made: Made, tmp_path: Path
) -> None:
    setup.create(new(tmp_path / "other"), NOW)
    other = (tmp_path / "other" / "registry.json").read_bytes()
    made.settings.registry.write_bytes(other)
    with pytest.raises(RegistryError, match="not by the pinned one"):
        folder.open_registry(made.settings)
