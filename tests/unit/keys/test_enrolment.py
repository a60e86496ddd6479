"""Party cards and welcome kits: what joining proves and refuses."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import FlowerKey, TlsKey
from veilscore.keys.documents import sign_document
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.errors import InvalidKeyError, KeysError, RegistryError
from veilscore.keys.identity import PARTY_CARD_DOMAIN, Signer
from veilscore.keys.registry import PartyRecord, Registry, Role

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
AUTHORITY = DevelopmentAuthority.create("test", NOW, 30)
TLS = TlsKey.generate()
REQUEST = TLS.request("bank")
FLOWER_KEY = FlowerKey.generate().public_pem()
ROLES = {Role.REQUESTER, Role.DATA_HOLDER}
LOG_POLICY = b"quorum none\n"
ADDRESSES = {"hub": "hub.example:7000", "fleet": "hub.example:7001"}

Records = tuple[PartyRecord, ...]


def make_kit(
    signers: Mapping[str, Signer],
    records: Records,
    party: str = "bank",
    certified: str = "bank",
) -> bytes:
    return WelcomeKit.sign(
        signers["hub"],
        party,
        certificate=AUTHORITY.issue(REQUEST, certified, NOW, 10),
        authority=AUTHORITY.certificate_pem,
        registry_file=Registry.sign(records, signers["hub"], 1),
        log_policy=LOG_POLICY,
        addresses=ADDRESSES,
    )


@pytest.fixture(scope="session")
def kit(signers: dict[str, Signer], records: Records) -> bytes:
    return make_kit(signers, records)


def test_card_becomes_a_record(signers: dict[str, Signer]) -> None:
    bank = signers["bank"]
    card = PartyCard.load(PartyCard.sign(bank, "bank", ROLES, REQUEST, FLOWER_KEY))
    assert card.tls_request == REQUEST
    assert card.record(date(2026, 3, 1)) == PartyRecord(
        name="bank",
        roles=frozenset(ROLES),
        key=bank.verify_key,
        flower_key=FLOWER_KEY,
        joined=date(2026, 3, 1),
    )


@settings(deadline=None)
@given(data=st.data())
def test_one_changed_byte_never_changes_a_card(
    data: st.DataObject, signers: dict[str, Signer]
) -> None:
    whole = PartyCard.sign(signers["bank"], "bank", ROLES, REQUEST)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        card = PartyCard.load(bytes(changed))
    except KeysError:
        return
    assert card == PartyCard.load(whole)


def test_card_cannot_claim_a_key_its_author_does_not_hold(
    signers: dict[str, Signer],
) -> None:
    thief = Signer.generate()
    card = PartyCard.sign(thief, "bank", ROLES, REQUEST)
    stolen = signers["bank"].verify_key.raw.hex().encode()
    with pytest.raises(KeysError, match="signature"):
        PartyCard.load(card.replace(thief.verify_key.raw.hex().encode(), stolen))


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("name", "No Party", RegistryError),
        ("roles", ["king"], RegistryError),
        ("tls_request", "no request", InvalidKeyError),
        ("flower_public_key", "no key", InvalidKeyError),
        ("extra", "field", RegistryError),
    ],
)
def test_signed_nonsense_is_refused(
    signers: dict[str, Signer], field: str, value: object, error: type[KeysError]
) -> None:
    body: dict[str, object] = {
        "name": "bank",
        "roles": ["requester"],
        "tls_request": REQUEST.decode(),
        "flower_public_key": "",
        "paillier_modulus": "",
        "paillier_proof": "",
    }
    good = sign_document(body, PARTY_CARD_DOMAIN, signers["bank"])
    assert PartyCard.load(good).name == "bank"
    with pytest.raises(error):
        PartyCard.load(
            sign_document({**body, field: value}, PARTY_CARD_DOMAIN, signers["bank"])
        )


def test_kit_brings_everything_a_node_needs(
    signers: dict[str, Signer], records: Records, kit: bytes
) -> None:
    pinned = signers["hub"].verify_key.fingerprint
    loaded = WelcomeKit.load(kit, pinned, "bank")
    TLS.check_certificate(loaded.certificate)
    assert loaded.authority == AUTHORITY.certificate_pem
    assert loaded.registry.records == records
    assert Registry.load(loaded.registry_file, pinned) == loaded.registry
    assert loaded.addresses == ADDRESSES


@settings(deadline=None)
@given(data=st.data())
def test_one_changed_byte_never_changes_a_kit(
    data: st.DataObject, signers: dict[str, Signer], kit: bytes
) -> None:
    pinned = signers["hub"].verify_key.fingerprint
    changed = bytearray(kit)
    changed[data.draw(st.integers(0, len(kit) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        loaded = WelcomeKit.load(bytes(changed), pinned, "bank")
    except KeysError:
        return
    assert loaded == WelcomeKit.load(kit, pinned, "bank")


def test_kit_of_another_coordinator_is_refused(
    signers: dict[str, Signer], records: Records
) -> None:
    rogue = Signer.generate()
    substituted = tuple(
        replace(r, key=rogue.verify_key) if r.name == "hub" else r for r in records
    )
    data = make_kit({"hub": rogue}, substituted)
    with pytest.raises(RegistryError, match="pinned"):
        WelcomeKit.load(data, signers["hub"].verify_key.fingerprint, "bank")


@pytest.mark.parametrize(
    ("party", "certified"),
    [("market", "market"), ("bank", "market"), ("market", "bank")],
)
def test_kit_for_somebody_else_is_refused(
    signers: dict[str, Signer], records: Records, party: str, certified: str
) -> None:
    data = make_kit(signers, records, party, certified)
    with pytest.raises(RegistryError, match="made for 'market'"):
        WelcomeKit.load(data, signers["hub"].verify_key.fingerprint, "bank")


def test_kit_for_a_party_that_is_not_in_its_registry_is_refused(
    signers: dict[str, Signer], records: Records
) -> None:
    without = tuple(record for record in records if record.name != "bank")
    with pytest.raises(RegistryError, match="not registered"):
        WelcomeKit.load(
            make_kit(signers, without), signers["hub"].verify_key.fingerprint, "bank"
        )
