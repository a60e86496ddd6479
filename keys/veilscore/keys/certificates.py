"""Keys that speak TLS, and the certificates that name a party.

ECDSA P-256, because gRPC refuses Ed25519 certificates; P-384 for Flower's own node
authentication. A certificate names its party in one SAN URI. Everybody on the wire sees
certificates; private halves leave this module only for the keystore and the TLS stack.

Chains are not followed here: TLS does that. Times are seconds since 1970.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from veilscore.keys.errors import (
    ExpiredCertificateError,
    InvalidKeyError,
    RegistryError,
)
from veilscore.keys.identity import check_party_name

PARTY_URI: Final = "spiffe://veilscore/party/"


class TlsKey:
    """An ECDSA P-256 private key for TLS."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read what ``private_pem`` wrote; raises InvalidKeyError."""
        return cls(load_p256(pem))

    def private_pem(self) -> bytes:
        """Return PKCS#8 without encryption: for the keystore and the TLS stack."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def request(self, party: str) -> bytes:
        """Return a certificate request in PEM.

        The name in it is for people: an authority takes names from its registry.
        """
        check_party_name(party)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        request = builder.sign(self._key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM)

    def pkcs12(
        self, certificate: bytes, authority: bytes, name: str, password: bytes
    ) -> bytes:
        """Return key and certificate, both for a browser, under a password (RFC 7292).

        Raises InvalidKeyError unless the certificate was issued for this key.
        """
        self.check_certificate(certificate)
        with as_invalid_key("this is not an authority's certificate"):
            root = _load_certificate(authority)
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            self._key,
            _load_certificate(certificate),
            [root],
            serialization.BestAvailableEncryption(password),
        )

    def check_certificate(self, certificate: bytes) -> None:
        """Raise InvalidKeyError unless ``certificate`` was issued for this key."""
        with as_invalid_key("this is not an X.509 certificate"):
            issued_for = _load_certificate(certificate).public_key()
        if issued_for != self._key.public_key():
            raise InvalidKeyError(
                "the TLS certificate belongs to another key",
                remedy="Request a certificate with the key that is in the keystore.",
            )


class FlowerKey:
    """The ECDSA P-384 key a SuperNode signs its requests to Flower with."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(ec.generate_private_key(ec.SECP384R1()))

    def private_openssh(self) -> bytes:
        """Return the only form ``flower-supernode`` reads, without encryption."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )

    def public_pem(self) -> str:
        """Return the form in which the SuperLink registers a node."""
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode()


def check_flower_key(public_pem: str) -> None:
    """Raise InvalidKeyError unless this is an ECDSA public key in PEM."""
    with as_invalid_key("this is not a public key in PEM"):
        key = serialization.load_pem_public_key(public_pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidKeyError("a Flower key must be an ECDSA key")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the product reads from an X.509 certificate, PEM or DER."""

    name: str  # subject common name, for messages only
    uris: tuple[str, ...]
    serial: int
    not_before: int
    not_after: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a certificate; raises InvalidKeyError. Verifies nothing."""
        with as_invalid_key("this is not an X.509 certificate"):
            certificate = _load_certificate(data)
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return cls(
                name=str(names[0].value) if names else "",
                uris=_uris(certificate),
                serial=certificate.serial_number,
                not_before=int(certificate.not_valid_before_utc.timestamp()),
                not_after=int(certificate.not_valid_after_utc.timestamp()),
            )

    @property
    def party(self) -> str:
        """The party in the SAN URI; raises InvalidKeyError if there is not one."""
        parties = [uri for uri in self.uris if uri.startswith(PARTY_URI)]
        if len(self.uris) != 1 or len(parties) != 1:
            raise InvalidKeyError(
                "the certificate does not name exactly one party",
                place=f"subject {self.name!r}",
                remedy="Use the certificate from the coordinator's welcome kit.",
            )
        name = parties[0].removeprefix(PARTY_URI)
        try:
            check_party_name(name)
        except RegistryError as error:
            raise InvalidKeyError("the certificate names no valid party") from error
        return name

    @property
    def renew_from(self) -> int:
        """When two thirds of its life are over: time to request the next one."""
        return self.not_before + (self.not_after - self.not_before) * 2 // 3

    def check(self, now: float) -> None:
        """Raise InvalidKeyError unless the certificate is valid at ``now``.

        If that is because it has expired, ExpiredCertificateError.
        """
        if now < self.not_before:
            raise InvalidKeyError(
                f"the TLS certificate is not valid before {_date(self.not_before)}",
                party=self.name,
                remedy="Set the clock of this machine, or wait.",
            )
        if now >= self.not_after:
            raise ExpiredCertificateError(
                f"the TLS certificate expired on {_date(self.not_after)}",
                party=self.name,
                remedy="Hand card.json to the coordinator again, and join with the "
                "kit it returns.",
            )


def party_of_certificate(data: bytes) -> str:
    """Return the party that a certificate, PEM or DER, names in its SAN URI.

    Raises InvalidKeyError. Call it on certificates that TLS has verified.
    """
    return Certificate.parse(data).party


def load_p256(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read an unencrypted P-256 private key in PEM; raises InvalidKeyError."""
    with as_invalid_key("this is not an unencrypted private key in PEM"):
        key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
        key.curve, ec.SECP256R1
    ):
        raise InvalidKeyError("a TLS key must be an ECDSA key on the curve P-256")
    return key


def _load_certificate(data: bytes) -> x509.Certificate:
    if data.lstrip().startswith(b"-----BEGIN"):
        certificate = x509.load_pem_x509_certificate(data)
    else:
        certificate = x509.load_der_x509_certificate(data)
    if certificate.serial_number <= 0:  # RFC 5280, section 4.1.2.2
        raise ValueError("the serial number is not positive")
    return certificate


def _uris(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.value.get_values_for_type(x509.UniformResourceIdentifier))


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@contextmanager
def as_invalid_key(what: str) -> Generator[None]:
    """Turn what ``cryptography`` raises on bad input into InvalidKeyError."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise InvalidKeyError(what) from error
