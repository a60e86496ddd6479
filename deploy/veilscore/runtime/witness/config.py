"""``witness.toml``: everything a witness's operator sets, read once at start.

Secrets are paths to files, never values.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from veilscore.runtime.settings import LocalPath, Settings, load


class WitnessSettings(Settings):
    """A witness's file."""

    party_key = "name"
    name: str
    state: LocalPath
    passphrase_file: LocalPath
    keystore: LocalPath
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    logs: Annotated[tuple[str, ...], Field(min_length=1)]  # verifier keys


def read(path: Path) -> WitnessSettings:
    """Load and check a witness's file; raises ConfigError."""
    return load(path, WitnessSettings)
