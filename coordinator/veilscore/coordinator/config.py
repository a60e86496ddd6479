"""``coordinator.toml``: everything the coordinator's operator sets, read once at start.

Secrets are paths to files, never values.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from veilscore.runtime.settings import LocalPath, Settings, load

Port = Annotated[int, Field(ge=1, le=65535)]

# RFC 1123, section 2.1; a last label of digits only is an address gone wrong.
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*"
    r"(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    re.IGNORECASE,
)


class ListenSettings(Settings):
    """Where the coordinator listens."""

    host: str = "127.0.0.1"
    port: Port

    @property
    def address(self) -> str:
        """The address as ``host:port``."""
        return _joined(self.host, self.port)


class DialledSettings(ListenSettings):
    """``[hub]`` and ``[flower]``: what nodes dial.

    This machine listens at ``host`` too, unless it knows itself by other addresses:
    behind a translating router, or where its name means 127.0.1.1 to itself.
    """

    listen_everywhere: bool = False

    @field_validator("host")
    @classmethod
    def _dialled(cls, host: str) -> str:
        check_dialled(host)
        return host

    @property
    def listen_host(self) -> str:
        """The address to listen at."""
        if not self.listen_everywhere:
            return self.host
        return "::" if ":" in self.host else "0.0.0.0"  # noqa: S104 - asked for

    @property
    def local_host(self) -> str:
        """How this machine reaches it; the certificate names it."""
        return "127.0.0.1" if self.listen_everywhere else self.host

    @property
    def listen_address(self) -> str:
        """The address to listen at as ``host:port``."""
        return _joined(self.listen_host, self.port)


class WebSettings(ListenSettings):
    """``[web]``: the audit log for its readers, the REST interface for the operator.

    "everybody" who reaches the port may read, without TLS; "parties" are asked for the
    certificate of their welcome kit, and auditors are parties too.
    """

    token_file: LocalPath
    readers: Literal["everybody", "parties"] = "everybody"


class LogSettings(Settings):
    """``[log]``: who must cosign the log, and what remembers how far it has come."""

    policy: LocalPath
    guard: LocalPath


class CoordinatorSettings(Settings):
    """The coordinator's file."""

    party_key = "name"
    name: str
    state: LocalPath
    passphrase_file: LocalPath
    keystore: LocalPath
    authority: LocalPath
    certificate: LocalPath
    registry: LocalPath
    hub: DialledSettings
    flower: DialledSettings
    web: WebSettings
    log: LogSettings


def check_dialled(host: str) -> None:
    """Raise ValueError unless this is a host name or an address of one machine."""
    try:
        one = not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        one = _HOST_NAME.fullmatch(host) is not None
    if not one:
        raise ValueError("should be a name or address that nodes can dial")


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read(path: Path) -> CoordinatorSettings:
    """Load and check the coordinator's file; raises ConfigError."""
    return load(path, CoordinatorSettings)
