"""The signed registry and everything it refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.certificates import FlowerKey
from veilscore.keys.documents import sign_document
from veilscore.keys.errors import InvalidKeyError, KeysError, RegistryError
from veilscore.keys.identity import REGISTRY_DOMAIN, Signer
from veilscore.keys.registry import PartyRecord, Registry, Role

Records = tuple[PartyRecord, ...]
FLOWER_KEY = FlowerKey.generate().public_pem()


def test_registry_is_read_back(records: Records, signers: dict[str, Signer]) -> None:
    hub = signers["hub"]
    with_flower = (replace(records[0], flower_key=FLOWER_KEY), *records[1:])
    data = Registry.sign(with_flower, hub, 3)
    registry = Registry.load(data, hub.verify_key.fingerprint, at_least=3)
    assert registry.version == 3
    assert registry.records == with_flower
    assert registry.coordinator.name == "hub"
    assert registry.party("bank").roles == {Role.DATA_HOLDER, Role.REQUESTER}
    assert registry.party("bank").flower_key == FLOWER_KEY
    assert registry.fingerprints() == {
        name: signer.verify_key.fingerprint for name, signer in signers.items()
    }


def test_unknown_party_is_named(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="not registered") as caught:
        registry.party("stranger")
    assert caught.value.party == "stranger"


def test_registry_of_another_coordinator_is_refused(records: Records) -> None:
    rogue = Signer.generate()
    substituted = tuple(
        replace(r, key=rogue.verify_key) if r.name == "hub" else r for r in records
    )
    data = Registry.sign(substituted, rogue, 1)
    pinned = next(r for r in records if r.name == "hub").key.fingerprint
    with pytest.raises(RegistryError, match="pinned"):
        Registry.load(data, pinned)


def test_key_substituted_by_the_coordinator_itself_is_caught_by_pins(
    records: Records, signers: dict[str, Signer]
) -> None:
    hub = signers["hub"]
    pins = {"bank": signers["bank"].verify_key.fingerprint}
    substituted = tuple(
        replace(r, key=Signer.generate().verify_key) if r.name == "bank" else r
        for r in records
    )
    loaded = Registry.load(
        Registry.sign(substituted, hub, 2), hub.verify_key.fingerprint
    )
    with pytest.raises(RegistryError, match="pinned") as caught:
        loaded.check_pins(pins)
    assert caught.value.party == "bank"
    without = tuple(r for r in records if r.name != "bank")
    loaded = Registry.load(Registry.sign(without, hub, 2), hub.verify_key.fingerprint)
    with pytest.raises(RegistryError, match="not registered"):
        loaded.check_pins(pins)


def test_unchanged_pins_pass(registry: Registry) -> None:
    registry.check_pins(registry.fingerprints())


def test_older_registry_is_a_rollback(
    records: Records, signers: dict[str, Signer]
) -> None:
    hub = signers["hub"]
    with pytest.raises(RegistryError, match="version 4 is older than version 5"):
        Registry.load(
            Registry.sign(records, hub, 4), hub.verify_key.fingerprint, at_least=5
        )


@settings(deadline=None)
@given(data=st.data())
def test_one_changed_byte_never_changes_what_is_read(
    data: st.DataObject, records: Records, signers: dict[str, Signer]
) -> None:
    hub = signers["hub"]
    changed = bytearray(Registry.sign(records, hub, 1))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        registry = Registry.load(bytes(changed), hub.verify_key.fingerprint)
    except KeysError:
        return
    assert registry.records == records


def _same_name(records: Records) -> Records:
    return (*records, replace(records[0], key=Signer.generate().verify_key))


def _same_key(records: Records) -> Records:
    return (*records, replace(records[0], name="other"))


def _same_flower_key(records: Records) -> Records:
    return tuple(replace(record, flower_key=FLOWER_KEY) for record in records)


def _no_coordinator(records: Records) -> Records:
    return tuple(record for record in records if record.name != "hub")


def _four_coordinators(records: Records) -> Records:
    return tuple(replace(r, roles=frozenset({Role.COORDINATOR})) for r in records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_same_name, "same name"),
        (_same_key, "same signing key"),
        (_same_flower_key, "same Flower key"),
        (_no_coordinator, "exactly one coordinator"),
        (_four_coordinators, "exactly one coordinator"),
    ],
)
def test_contradictory_registry_is_neither_signed_nor_read(
    records: Records,
    signers: dict[str, Signer],
    change: Callable[[Records], Records],
    message: str,
) -> None:
    with pytest.raises(RegistryError, match=message):
        Registry.sign(change(records), signers["hub"], 1)


def test_only_the_coordinator_in_it_signs_a_registry(
    records: Records, signers: dict[str, Signer]
) -> None:
    with pytest.raises(RegistryError, match="own coordinator"):
        Registry.sign(records, signers["bank"], 1)


def test_version_zero_is_refused(records: Records, signers: dict[str, Signer]) -> None:
    with pytest.raises(RegistryError, match="from 1"):
        Registry.sign(records, signers["hub"], 0)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("name", "No Party", RegistryError),
        ("roles", [], RegistryError),
        ("roles", ["king"], RegistryError),
        ("public_key", "00" * 32, InvalidKeyError),
        ("public_key", "00" * 31, RegistryError),
        ("flower_public_key", "no key", InvalidKeyError),
        ("joined", "yesterday", RegistryError),
        ("paillier_modulus", "0G", RegistryError),
        ("extra", "field", RegistryError),
    ],
)
def test_signed_nonsense_is_refused(
    signers: dict[str, Signer], field: str, value: object, error: type[KeysError]
) -> None:
    hub = signers["hub"]
    party: dict[str, Any] = {
        "name": "hub",
        "roles": ["coordinator"],
        "public_key": hub.verify_key.raw.hex(),
        "flower_public_key": "",
        "paillier_modulus": "",
        "paillier_proof": "",
        "joined": "2026-03-01",
    }

    def load(record: dict[str, Any]) -> Registry:
        body = {"version": 1, "parties": [record]}
        data = sign_document(body, REGISTRY_DOMAIN, hub)
        return Registry.load(data, hub.verify_key.fingerprint)

    assert load(party).party("hub").joined == date(2026, 3, 1)
    with pytest.raises(error):
        load({**party, field: value})
