"""How a party joins: the card it hands in and the kit it gets back.

The card proves that its author holds the signing key and the TLS key in it, and that
its Paillier modulus is well formed; who that author is, the coordinator's operator
finds out by comparing the fingerprint out of band. The kit proves that it comes from
the coordinator whose fingerprint the node has pinned. Neither holds anything secret.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

from veilscore.keys.authority import requested_key
from veilscore.keys.certificates import Certificate, check_flower_key
from veilscore.keys.documents import open_document, sign_document
from veilscore.keys.errors import RegistryError
from veilscore.keys.identity import (
    PARTY_CARD_DOMAIN,
    WELCOME_KIT_DOMAIN,
    Signer,
    VerifyKey,
    check_party_name,
)
from veilscore.keys.paillier.modulus_proof import CertifiedModulus
from veilscore.keys.paillier.public import MINIMUM_BITS
from veilscore.keys.registry import (
    PartyRecord,
    Registry,
    Role,
    read_paillier,
    read_roles,
    write_paillier,
)


@dataclass(frozen=True, slots=True)
class PartyCard:
    """What a party tells the coordinator about itself, verified."""

    name: str
    roles: frozenset[Role]
    key: VerifyKey
    tls_request: bytes  # certificate request in PEM
    flower_key: str  # public key in PEM; empty: runs no SuperNode
    paillier: CertifiedModulus | None  # None: decrypts nothing

    @staticmethod
    def sign(
        signer: Signer,
        name: str,
        roles: Collection[Role],
        tls_request: bytes,
        flower_key: str = "",
        paillier: CertifiedModulus | None = None,
    ) -> bytes:
        """Return the file that a node hands to the coordinator."""
        check_party_name(name)
        body = {
            "name": name,
            "roles": sorted(roles),
            "tls_request": tls_request.decode(),
            "flower_public_key": flower_key,
            **write_paillier(paillier),
        }
        return sign_document(body, PARTY_CARD_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Verify and read a card.

        Raises RegistryError, SignatureError or InvalidKeyError.
        """
        fields, key = open_document(data, PARTY_CARD_DOMAIN, "party card", None)
        card = cls(
            name=fields.text("name"),
            roles=read_roles(fields),
            key=key,
            tls_request=fields.text("tls_request").encode(),
            flower_key=fields.text("flower_public_key"),
            paillier=read_paillier(fields),
        )
        fields.end()
        check_party_name(card.name)
        if not card.roles:
            raise RegistryError("a party needs a role", party=card.name)
        requested_key(card.tls_request)
        if card.flower_key:
            check_flower_key(card.flower_key)
        if card.paillier:
            card.paillier.key(card.name, MINIMUM_BITS)
        return card

    def record(self, joined: date) -> PartyRecord:
        """Return the registry's record of this party."""
        return PartyRecord(
            self.name, self.roles, self.key, self.flower_key, joined, self.paillier
        )


@dataclass(frozen=True, slots=True)
class WelcomeKit:
    """What a node needs from the coordinator to start, verified."""

    party: str
    certificate: bytes  # PEM, for the key of the party's request
    authority: bytes  # PEM, the root that TLS trusts
    registry_file: bytes
    registry: Registry
    log_policy: bytes  # whose checkpoints count, in the coordinator's eyes
    addresses: Mapping[str, str]

    @staticmethod
    def sign(
        signer: Signer,
        party: str,
        *,
        certificate: bytes,
        authority: bytes,
        registry_file: bytes,
        log_policy: bytes,
        addresses: Mapping[str, str],
    ) -> bytes:
        """Return the file that the coordinator hands to one party."""
        body = {
            "party": party,
            "certificate": certificate.decode(),
            "authority": authority.decode(),
            "registry": registry_file.decode(),
            "log_policy": log_policy.hex(),
            "addresses": dict(addresses),
        }
        return sign_document(body, WELCOME_KIT_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes, pinned_fingerprint: bytes, party: str) -> Self:
        """Verify and read the kit made for ``party``.

        Raises RegistryError, SignatureError or InvalidKeyError.
        """
        fields, _ = open_document(
            data, WELCOME_KIT_DOMAIN, "welcome kit", pinned_fingerprint
        )
        registry_file = fields.text("registry").encode()
        kit = cls(
            party=fields.text("party"),
            certificate=fields.text("certificate").encode(),
            authority=fields.text("authority").encode(),
            registry_file=registry_file,
            registry=Registry.load(registry_file, pinned_fingerprint),
            log_policy=fields.octets("log_policy"),
            addresses=fields.mapping("addresses"),
        )
        fields.end()
        kit.registry.party(kit.party)
        for name in (kit.party, Certificate.parse(kit.certificate).party):
            if name != party:
                raise RegistryError(
                    f"the welcome kit was made for {name[:40]!r}",
                    party=party,
                    remedy="Ask the coordinator for your own kit.",
                )
        return kit
