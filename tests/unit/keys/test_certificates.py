"""TLS keys and what the product reads from certificates."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import (
    Certificate,
    FlowerKey,
    TlsKey,
    check_flower_key,
    party_of_certificate,
)
from veilscore.keys.errors import InvalidKeyError, RegistryError

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
DAY = 86400
AUTHORITY = DevelopmentAuthority.create("test", NOW, 400)
KEY = TlsKey.generate()
PEM = AUTHORITY.issue(KEY.request("bank"), "bank", NOW, 90)
DER = x509.load_pem_x509_certificate(PEM).public_bytes(serialization.Encoding.DER)


def certificate_with(*uris: str) -> bytes:
    """A self-signed certificate that names anything at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    start = datetime.fromtimestamp(NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("data", [PEM, DER, b"\n" + PEM])
def test_party_is_read_from_pem_and_der(data: bytes) -> None:
    assert party_of_certificate(data) == "bank"


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://veilscore/party/",),
        ("spiffe://veilscore/party/Bank",),
        ("spiffe://veilscore/party/bank/x",),
        ("spiffe://elsewhere/party/bank",),
        ("spiffe://veilscore/party/bank", "spiffe://veilscore/party/bureau"),
        ("spiffe://veilscore/party/bank", "https://example.org"),
    ],
)
def test_certificate_that_does_not_name_one_party_is_refused(
    uris: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidKeyError, match="party"):
        party_of_certificate(certificate_with(*uris))


def test_valid_certificate_passes_until_its_last_second() -> None:
    certificate = Certificate.parse(PEM)
    certificate.check(NOW)
    certificate.check(NOW + 90 * DAY - 1)


def test_expired_certificate_names_party_date_and_remedy() -> None:
    with pytest.raises(InvalidKeyError) as caught:
        Certificate.parse(PEM).check(NOW + 90 * DAY)
    assert str(caught.value) == (
        "bank: the TLS certificate expired on 2027-01-30 00:00 UTC. Remedy: Hand "
        "card.json to the coordinator again, and join with the kit it returns."
    )


def test_certificate_from_the_future_points_at_the_clock() -> None:
    with pytest.raises(InvalidKeyError, match="not valid before 2026-10-31") as caught:
        Certificate.parse(PEM).check(NOW - DAY)
    assert "clock" in caught.value.remedy


def test_renewal_starts_after_two_thirds_of_the_life() -> None:
    certificate = Certificate.parse(PEM)
    assert abs(certificate.renew_from - (NOW + 60 * DAY)) < 300


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for text in (data, b"-----BEGIN CERTIFICATE-----\n" + data):
        with pytest.raises(InvalidKeyError):
            Certificate.parse(text)
    with pytest.raises(InvalidKeyError):
        TlsKey.from_pem(data)


def test_stored_key_is_the_same_key() -> None:
    again = TlsKey.from_pem(KEY.private_pem())
    again.check_certificate(PEM)


def test_certificate_of_another_key_is_refused() -> None:
    with pytest.raises(InvalidKeyError, match="another key"):
        TlsKey.generate().check_certificate(PEM)


@pytest.mark.parametrize(
    "key",
    [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())],
)
def test_tls_key_must_be_p256(
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(InvalidKeyError, match="P-256"):
        TlsKey.from_pem(pem)


def test_request_refuses_a_name_that_is_no_party() -> None:
    with pytest.raises(RegistryError):
        KEY.request("No Party")


def test_flower_key_halves_belong_together() -> None:
    key = FlowerKey.generate()
    private = serialization.load_ssh_private_key(key.private_openssh(), None)
    check_flower_key(key.public_pem())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == serialization.load_pem_public_key(
        key.public_pem().encode()
    )


def test_flower_key_must_be_ecdsa() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(InvalidKeyError, match="ECDSA"):
        check_flower_key(pem.decode())
    with pytest.raises(InvalidKeyError, match="PEM"):
        check_flower_key("no key")


def test_repr_shows_no_secret() -> None:
    assert "PRIVATE" not in repr(KEY)
    assert "PRIVATE" not in repr(FlowerKey.generate())
