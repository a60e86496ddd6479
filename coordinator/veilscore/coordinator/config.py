"""``coordinator.toml``: everything the coordinator's operator sets, read once at start.

Secrets are paths to files, never values.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from veilscore.runtime.settings import LocalPath, Settings, load

Port = Annotated[int, Field(ge=1, le=65535)]


class ListenSettings(Settings):
    """``[hub]`` and ``[flower]``: what nodes dial and this machine listens at."""

    host: str = "127.0.0.1"
    port: Port

    @property
    def address(self) -> str:
        """The address as ``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class WebSettings(ListenSettings):
    """``[web]``: the audit log for everybody, the REST interface for the operator."""

    token_file: LocalPath


class CoordinatorSettings(Settings):
    """The coordinator's file."""

    name: str
    state: LocalPath
    passphrase_file: LocalPath
    keystore: LocalPath
    authority: LocalPath
    certificate: LocalPath
    registry: LocalPath
    hub: ListenSettings
    flower: ListenSettings
    web: WebSettings


def read(path: Path) -> CoordinatorSettings:
    """Load and check the coordinator's file; raises ConfigError."""
    return load(path, CoordinatorSettings)
