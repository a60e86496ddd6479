"""A development certificate authority: signs TLS certificates for parties.

Whoever holds it can impersonate every party on the wire (not in signatures, and not
inside envelopes). A laboratory or a pilot runs on it; an institution with its own
authority signs the same requests there. Bytes in, bytes out: nothing here reads a
file or knows the time. Times are seconds since 1970.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from veilscore.keys.certificates import PARTY_URI, as_invalid_key, load_p256
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.identity import check_party_name

# Certificates start a little in the past: the clocks of two hosts differ.
_CLOCK_SKEW = timedelta(minutes=5)


class DevelopmentAuthority:
    """An ECDSA P-256 authority key and its self-signed certificate."""

    __slots__ = ("_certificate", "_key")

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        if certificate.public_key() != key.public_key():
            raise InvalidKeyError("this authority key has another certificate")
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, name: str, now: float, days: int) -> Self:
        """Make a new authority called ``name`` that lasts ``days``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _common_name(name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(key.public_key(), now, days)
            .subject_name(subject)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    identifier
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def from_pem(cls, key_pem: bytes, certificate_pem: bytes) -> Self:
        """Read what the two properties hold; raises InvalidKeyError."""
        key = load_p256(key_pem)
        with as_invalid_key("this is not an authority's certificate in PEM"):
            return cls(key, x509.load_pem_x509_certificate(certificate_pem))

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 without encryption: for the keystore only."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that every party installs as its root."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        request_pem: bytes,
        party: str,
        now: float,
        days: int,
        hosts: Sequence[str] = (),
    ) -> bytes:
        """Return a certificate in PEM for the key in ``request_pem``.

        ``party`` is the registered name: nothing the request says about itself is
        copied. ``hosts`` are the DNS names and IP addresses a server is reached by;
        with none the certificate serves clients only. Raises InvalidKeyError.
        """
        check_party_name(party)
        key = requested_key(request_pem)
        builder = _builder(key, now, days)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names = [x509.UniformResourceIdentifier(PARTY_URI + party), *_hosts(hosts)]
        issuer = self._certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        certificate = (
            builder.subject_name(_common_name(party))
            .issuer_name(self._certificate.subject)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        if certificate.not_valid_after_utc > self._certificate.not_valid_after_utc:
            raise InvalidKeyError(
                "the certificate would outlive the authority that signs it",
                party=party,
                remedy="Ask for fewer days, or make a new authority.",
            )
        return certificate.public_bytes(serialization.Encoding.PEM)


def requested_key(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key of a certificate request whose sender holds it.

    Raises InvalidKeyError, also when the request is not signed by that key.
    """
    with as_invalid_key("this is not a certificate request in PEM"):
        request = x509.load_pem_x509_csr(request_pem)
        key = request.public_key()
        signed = request.is_signature_valid
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
        key.curve, ec.SECP256R1
    ):
        raise InvalidKeyError("a TLS key must be an ECDSA key on the curve P-256")
    if not signed:
        raise InvalidKeyError("the certificate request is not signed by its own key")
    return key


def _builder(
    key: ec.EllipticCurvePublicKey, now: float, days: int
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _hosts(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names
