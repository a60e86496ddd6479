"""Certificates of the development authority, in real handshakes without a network."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from veilscore.keys.authority import DevelopmentAuthority, requested_key
from veilscore.keys.certificates import Certificate, TlsKey, party_of_certificate
from veilscore.keys.errors import InvalidKeyError, RegistryError

NOW = datetime.now(UTC).timestamp()  # handshakes below use the real clock
AUTHORITY = DevelopmentAuthority.create("test authority", NOW, 30)
SERVER_KEY = TlsKey.generate()
CLIENT_KEY = TlsKey.generate()
SERVER = AUTHORITY.issue(
    SERVER_KEY.request("hub"), "hub", NOW, 10, ["hub.example", "127.0.0.1"]
)
CLIENT = AUTHORITY.issue(CLIENT_KEY.request("bank"), "bank", NOW, 10)


class MakeContext(Protocol):
    def __call__(
        self, purpose: int, certificate: bytes, key: TlsKey
    ) -> ssl.SSLContext: ...


class Call(Protocol):
    def __call__(self, request: bytes, *, timeout: float) -> bytes: ...


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """A TLS context that trusts the authority and demands a certificate."""

    def make(purpose: int, certificate: bytes, key: TlsKey) -> ssl.SSLContext:
        path = tmp_path / "both.pem"
        path.write_bytes(certificate + key.private_pem())
        made = ssl.SSLContext(purpose)
        made.load_verify_locations(cadata=AUTHORITY.certificate_pem.decode())
        made.load_cert_chain(path)
        made.verify_mode = ssl.CERT_REQUIRED
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        return made

    return make


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, hostname: str
) -> tuple[bytes, bytes]:
    """Return the certificate each side saw (client's, server's), in DER."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    of_client = ends[1].getpeercert(binary_form=True)
    of_server = ends[0].getpeercert(binary_form=True)
    assert of_client is not None
    assert of_server is not None
    return of_client, of_server


@pytest.mark.parametrize("hostname", ["hub.example", "127.0.0.1"])
def test_mutual_tls_names_both_parties(context: MakeContext, hostname: str) -> None:
    seen = shake_hands(
        context(ssl.PROTOCOL_TLS_SERVER, SERVER, SERVER_KEY),
        context(ssl.PROTOCOL_TLS_CLIENT, CLIENT, CLIENT_KEY),
        hostname,
    )
    assert [party_of_certificate(der) for der in seen] == ["bank", "hub"]


def test_server_is_not_trusted_under_another_host(context: MakeContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(
            context(ssl.PROTOCOL_TLS_SERVER, SERVER, SERVER_KEY),
            context(ssl.PROTOCOL_TLS_CLIENT, CLIENT, CLIENT_KEY),
            "other.example",
        )


def test_certificate_without_hosts_cannot_serve(context: MakeContext) -> None:
    client = context(ssl.PROTOCOL_TLS_CLIENT, SERVER, SERVER_KEY)
    client.check_hostname = False
    server = context(ssl.PROTOCOL_TLS_SERVER, CLIENT, CLIENT_KEY)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server, client, "hub.example")


def test_certificate_of_another_authority_is_refused(context: MakeContext) -> None:
    other = DevelopmentAuthority.create("test authority", NOW, 30)
    forged = other.issue(CLIENT_KEY.request("bank"), "bank", NOW, 10)
    with pytest.raises(ssl.SSLError):
        shake_hands(
            context(ssl.PROTOCOL_TLS_SERVER, SERVER, SERVER_KEY),
            context(ssl.PROTOCOL_TLS_CLIENT, forged, CLIENT_KEY),
            "hub.example",
        )


def test_grpc_accepts_the_certificates_and_sees_the_party(tmp_path: Path) -> None:
    def who_calls(request: bytes, call: grpc.ServicerContext) -> bytes:
        del request
        # the published types of gRPC forget the list
        context = cast("dict[str, list[bytes]]", call.auth_context())
        return party_of_certificate(context["x509_pem_cert"][0]).encode()

    handler = grpc.method_handlers_generic_handler(
        "test.Who", {"Calls": grpc.unary_unary_rpc_method_handler(who_calls)}
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handler,))
    address = f"unix:{tmp_path}/socket"
    server.add_secure_port(
        address,
        grpc.ssl_server_credentials(
            [(SERVER_KEY.private_pem(), SERVER)],
            root_certificates=AUTHORITY.certificate_pem,
            require_client_auth=True,
        ),
    )
    server.start()
    credentials = grpc.ssl_channel_credentials(
        AUTHORITY.certificate_pem, CLIENT_KEY.private_pem(), CLIENT
    )
    options = [("grpc.ssl_target_name_override", "hub.example")]
    try:
        with grpc.secure_channel(address, credentials, options) as channel:
            call = cast("Call", channel.unary_unary("/test.Who/Calls"))
            assert call(b"", timeout=20) == b"bank"
    finally:
        server.stop(None).wait()


def test_nothing_the_request_says_about_itself_is_copied() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    uris = [x509.UniformResourceIdentifier("spiffe://veilscore/party/hub")]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(wish)
        .add_extension(x509.SubjectAlternativeName(uris), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = AUTHORITY.issue(
        request.public_bytes(serialization.Encoding.PEM), "bureau", NOW, 1
    )
    issued = x509.load_pem_x509_certificate(pem)
    constraints = issued.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    assert Certificate.parse(pem).uris == ("spiffe://veilscore/party/bureau",)
    assert Certificate.parse(pem).name == "bureau"


def test_tampered_request_is_refused() -> None:
    request = x509.load_pem_x509_csr(CLIENT_KEY.request("bank"))
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[der.index(b"bank")] = ord("t")
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(InvalidKeyError, match="its own key"):
        requested_key(pem)


def test_request_for_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(
        key, hashes.SHA256()
    )
    with pytest.raises(InvalidKeyError, match="P-256"):
        AUTHORITY.issue(
            request.public_bytes(serialization.Encoding.PEM), "bank", NOW, 1
        )


def test_garbage_request_and_bad_name_are_refused() -> None:
    with pytest.raises(InvalidKeyError, match="certificate request"):
        AUTHORITY.issue(b"garbage", "bank", NOW, 1)
    with pytest.raises(RegistryError):
        AUTHORITY.issue(CLIENT_KEY.request("bank"), "Bank!", NOW, 1)


def test_certificate_must_not_outlive_the_authority() -> None:
    with pytest.raises(InvalidKeyError, match="outlive") as caught:
        AUTHORITY.issue(CLIENT_KEY.request("bank"), "bank", NOW, 31)
    assert caught.value.party == "bank"


def test_stored_authority_goes_on_signing() -> None:
    again = DevelopmentAuthority.from_pem(AUTHORITY.key_pem, AUTHORITY.certificate_pem)
    pem = again.issue(CLIENT_KEY.request("bank"), "bank", NOW, 1)
    root = x509.load_pem_x509_certificate(AUTHORITY.certificate_pem)
    x509.load_pem_x509_certificate(pem).verify_directly_issued_by(root)


def test_authority_with_a_foreign_certificate_is_refused() -> None:
    other = DevelopmentAuthority.create("other", NOW, 30)
    with pytest.raises(InvalidKeyError, match="another certificate"):
        DevelopmentAuthority.from_pem(AUTHORITY.key_pem, other.certificate_pem)
    with pytest.raises(InvalidKeyError, match="PEM"):
        DevelopmentAuthority.from_pem(AUTHORITY.key_pem, b"garbage")
