"""The registry: who is a party, in which roles, under which keys.

The coordinator keeps it and signs it; every reader pins the coordinator's fingerprint,
learned out of band. Everybody may read it. A coordinator that signs a substituted key
is caught by readers that pin their peers too (``check_pins``) and by the owner of the
key, who looks for it in the log; the signature alone does not prevent it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self

from veilscore.keys.certificates import check_flower_key
from veilscore.keys.documents import Fields, open_document, sign_document
from veilscore.keys.errors import RegistryError
from veilscore.keys.identity import (
    REGISTRY_DOMAIN,
    Signer,
    VerifyKey,
    check_party_name,
)
from veilscore.keys.paillier.modulus_proof import CertifiedModulus

_PLACE = "registry"


class Role(StrEnum):
    """What a party may do."""

    COORDINATOR = "coordinator"
    DATA_HOLDER = "data_holder"
    REQUESTER = "requester"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class PartyRecord:
    """One registered party.

    One without a role was expelled: it may do nothing, but nobody else may take its
    name or key, and what it signed before still verifies.
    """

    name: str
    roles: frozenset[Role]
    key: VerifyKey
    flower_key: str  # public key in PEM; empty: runs no SuperNode
    joined: date
    paillier: CertifiedModulus | None = None  # None: decrypts nothing

    def __post_init__(self) -> None:
        """Refuse a record that no party may have."""
        check_party_name(self.name)
        if self.flower_key:
            check_flower_key(self.flower_key)


@dataclass(frozen=True, slots=True)
class Registry:
    """A verified registry; raises RegistryError if it contradicts itself."""

    version: int
    records: tuple[PartyRecord, ...]
    signer: VerifyKey

    def __post_init__(self) -> None:
        """Refuse records that contradict each other."""
        if self.version < 1:
            raise RegistryError("versions are counted from 1", place=_PLACE)
        _check_distinct("name", [record.name for record in self.records])
        _check_distinct("signing key", [record.key for record in self.records])
        _check_distinct(
            "Flower key", [r.flower_key for r in self.records if r.flower_key]
        )
        _check_distinct(
            "Paillier key", [r.paillier.modulus for r in self.records if r.paillier]
        )
        if self.signer != self.coordinator.key:
            raise RegistryError("not signed by its own coordinator", place=_PLACE)

    @staticmethod
    def sign(records: Collection[PartyRecord], signer: Signer, version: int) -> bytes:
        """Return the file; each version must be higher than the one before."""
        ordered = tuple(sorted(records, key=lambda record: record.name))
        Registry(version, ordered, signer.verify_key)
        parties = [_encode(record) for record in ordered]
        body = {"version": version, "parties": parties}
        return sign_document(body, REGISTRY_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes, pinned_fingerprint: bytes, at_least: int = 1) -> Self:
        """Verify and read a file signed by the key with that SHA-256 fingerprint.

        ``at_least`` is the highest version seen so far: an older file is a rollback.
        Raises RegistryError, SignatureError or InvalidKeyError.
        """
        fields, signer = open_document(
            data, REGISTRY_DOMAIN, _PLACE, pinned_fingerprint
        )
        version = fields.number("version")
        records = tuple(_decode(party) for party in fields.objects("parties"))
        fields.end()
        if version < at_least:
            raise RegistryError(
                f"version {version} is older than version {at_least} seen before",
                place=_PLACE,
                remedy="Ask the coordinator for the current registry.",
            )
        return cls(version, records, signer)

    @property
    def coordinator(self) -> PartyRecord:
        """The one party that signs registries."""
        found = [r for r in self.records if Role.COORDINATOR in r.roles]
        if len(found) != 1:
            raise RegistryError("there must be exactly one coordinator", place=_PLACE)
        return found[0]

    def party(self, name: str) -> PartyRecord:
        """Return a party; raises RegistryError if it is not registered."""
        for record in self.records:
            if record.name == name:
                return record
        raise RegistryError(
            "this party is not registered",
            party=name[:40],
            remedy="Check the name, or fetch the current registry.",
        )

    def fingerprints(self) -> dict[str, bytes]:
        """Return SHA-256 of every party's signing key, by name."""
        return {record.name: record.key.fingerprint for record in self.records}

    def check_pins(self, pins: Mapping[str, bytes]) -> None:
        """Raise RegistryError if one of these parties has another key, or is gone."""
        for name, fingerprint in pins.items():
            found = self.party(name).key.fingerprint
            if found != fingerprint:
                raise RegistryError(
                    f"registered under key {found.hex()}, not as pinned or known",
                    party=name,
                    remedy="Ask the party itself, not the coordinator, for its "
                    "fingerprint before you pin a new one.",
                )


def _check_distinct(what: str, values: Collection[object]) -> None:
    if len(set(values)) != len(values):
        raise RegistryError(f"two parties have the same {what}", place=_PLACE)


def _encode(record: PartyRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "roles": sorted(record.roles),
        "public_key": record.key.raw.hex(),
        "flower_public_key": record.flower_key,
        **write_paillier(record.paillier),
        "joined": record.joined.isoformat(),
    }


def _decode(fields: Fields) -> PartyRecord:
    name = fields.text("name")
    joined = fields.text("joined")
    try:
        day = date.fromisoformat(joined)
    except ValueError as error:
        raise RegistryError("'joined' is not a date", party=name[:40]) from error
    record = PartyRecord(
        name=name,
        roles=read_roles(fields),
        key=VerifyKey(fields.octets("public_key", 32)),
        flower_key=fields.text("flower_public_key"),
        joined=day,
        paillier=read_paillier(fields),
    )
    fields.end()
    return record


def write_paillier(certified: CertifiedModulus | None) -> dict[str, str]:
    """Return the fields that ``read_paillier`` takes; empty texts for no key."""
    modulus, proof = (certified.modulus, certified.proof) if certified else (b"", b"")
    return {"paillier_modulus": modulus.hex(), "paillier_proof": proof.hex()}


def read_paillier(fields: Fields) -> CertifiedModulus | None:
    """Take a Paillier modulus and its proof, which is not verified here."""
    modulus, proof = fields.octets("paillier_modulus"), fields.octets("paillier_proof")
    return CertifiedModulus(modulus, proof) if modulus or proof else None


def read_roles(fields: Fields) -> frozenset[Role]:
    """Take the field ``roles``; raises RegistryError on unknown ones."""
    try:
        return frozenset(Role(role) for role in fields.texts("roles"))
    except ValueError as error:
        known = ", ".join(Role)
        raise RegistryError(f"a role must be one of {known}") from error
