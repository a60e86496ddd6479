"""How both ends of the hub's wire set up gRPC: options, mutual TLS, names.

TLS shows the hub which certificate a party holds and the party that it reached its
coordinator; what travels inside envelopes is sealed again. Who is registered is
decided elsewhere. gRPC reads PEM bytes only, so keys come from the keystore without
touching a file.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Final

import grpc

from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import InvalidKeyError
from veilscore.runtime.tls import TlsIdentity

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
KEEPALIVE_S: Final = 1.0

# gRPC's own resolver asks DNS also where /etc/hosts has the answer: on an intranet
# whose name server does not answer, every connection took more than 5 s.
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

Options = list[tuple[str, int | str]]


def channel_options(keepalive_s: float = KEEPALIVE_S) -> Options:
    """Return the options of either end; on a lossy line use a longer keepalive.

    grpcio notices a silent peer only with ``ping_timeout_ms``: with the two documented
    keepalive options alone, a frozen process and a cut line went unnoticed for 30 s.
    """
    keepalive_ms = round(keepalive_s * 1000)
    return [
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.ping_timeout_ms", keepalive_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", keepalive_ms // 2),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 2),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A second coordinator on the same port must fail, not take half the calls.
        ("grpc.so_reuseport", 0),
    ]


def client_credentials(identity: TlsIdentity) -> grpc.ChannelCredentials:
    """Return credentials that show our certificate and trust one authority."""
    return grpc.ssl_channel_credentials(
        root_certificates=identity.authority,
        private_key=identity.key,
        certificate_chain=identity.certificate,
    )


def server_credentials(
    identity: TlsIdentity, on_connection: Callable[[], TlsIdentity]
) -> grpc.ServerCredentials:
    """Return credentials that demand a client certificate.

    ``on_connection`` is called when a TLS handshake begins, on a thread of gRPC, and
    returns what to show and trust: a certificate is renewed without a restart.
    """
    shown, comparing = identity, Lock()

    def configuration(identity: TlsIdentity) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(identity.key, identity.certificate)], identity.authority
        )

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC frees the configuration before, also under the hands of a handshake on
        # another thread. Anew for every connection, that crashed a hub to which many
        # came at once: all nodes, when it had been suspended for a while. The moment of
        # a renewal, once in a certificate's life, is left.
        nonlocal shown
        current = on_connection()
        with comparing:
            if current == shown:
                return None
            shown = current
        return configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        configuration(identity),
        renewed,  # type: ignore[arg-type] # its stub does not know None, "no change"
        require_client_authentication=True,
    )


def peer_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> Certificate:
    """Return the certificate that the caller proved to hold.

    ``auth_context`` comes from a servicer's context. Raises InvalidKeyError.
    """
    certificates = list(auth_context.get("x509_pem_cert", ()))
    if len(certificates) != 1:
        raise InvalidKeyError("the caller showed no certificate")
    return Certificate.parse(certificates[0])
