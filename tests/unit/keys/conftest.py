"""Four registered parties, one with a Paillier key; new for every test session."""

from datetime import date

import pytest

from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.registry import PartyRecord, Registry, Role

ROLES = {
    "bank": {Role.DATA_HOLDER, Role.REQUESTER},
    "bureau": {Role.DATA_HOLDER},
    "hub": {Role.COORDINATOR},
    "market": {Role.DATA_HOLDER, Role.AUDITOR},
}


@pytest.fixture(scope="session")
def signers() -> dict[str, Signer]:
    return {name: Signer.generate() for name in ROLES}


@pytest.fixture(scope="session")
def paillier() -> dict[str, PrivateKey]:
    return {"bank": PrivateKey.generate(2048)}


@pytest.fixture(scope="session")
def records(
    signers: dict[str, Signer], paillier: dict[str, PrivateKey]
) -> tuple[PartyRecord, ...]:
    return tuple(
        PartyRecord(
            name=name,
            roles=frozenset(roles),
            key=signers[name].verify_key,
            flower_key="",
            joined=date(2026, 3, 1),
            paillier=paillier[name].certify(name) if name in paillier else None,
        )
        for name, roles in ROLES.items()
    )


@pytest.fixture(scope="session")
def registry(signers: dict[str, Signer], records: tuple[PartyRecord, ...]) -> Registry:
    hub = signers["hub"]
    return Registry.load(Registry.sign(records, hub, 1), hub.verify_key.fingerprint)
