"""What one end of TLS shows and trusts, and TLS for HTTP between parties.

There is one authority, and a certificate names the client. A server here lets a client
without a certificate in, so that its application can refuse it in a way that its reader
understands. One with a certificate of another authority, or that is not valid now, does
not get through the handshake.
"""

import os
import ssl
from dataclasses import dataclass, field

from veilscore.keys.errors import InvalidKeyError
from veilscore.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What one end shows and trusts, all in PEM."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def server_context(identity: TlsIdentity) -> ssl.SSLContext:
    """Return TLS for a server that asks for certificates of an authority.

    Raises ConfigError.
    """
    context = _trusting(ssl.PROTOCOL_TLS_SERVER, identity.authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    _show(context, identity)
    return context


def client_context(
    authority: bytes, identity: TlsIdentity | None = None
) -> ssl.SSLContext:
    """Return TLS for a client that trusts one authority, given in PEM, and no other.

    ``identity`` is what it shows if the server asks; raises ConfigError.
    """
    context = _trusting(ssl.PROTOCOL_TLS_CLIENT, authority)
    if identity is not None:
        _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    # ``ssl`` reads keys from files only: this one is in memory, and nobody else's.
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(identity.key + b"\n" + identity.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "the TLS certificate or its key cannot be used",
            remedy="Renew the certificate, or restore the keystore.",
        ) from error
    finally:
        os.close(descriptor)


def _trusting(protocol: int, authority: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise InvalidKeyError(
            "this is not an authority's certificate in PEM"
        ) from error
    return context
