"""``node.toml``: everything an operator sets, read once at start.

Secrets are paths to files, never values.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from veilscore.keys.paillier.public import DEFAULT_BITS
from veilscore.node.hosting.settings import HostingSettings
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.sources.settings import SourceSettings
from veilscore.node.training.policy import TrainingSettings
from veilscore.runtime.settings import LocalPath, Settings, load

Port = Annotated[int, Field(ge=1, le=65535)]


Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256 in hex


class WebSettings(Settings):
    """``[web]``: the operator's pages and the bank's REST API."""

    host: str = "127.0.0.1"
    port: Port = 8081
    token_file: LocalPath


class FlowerSettings(Settings):
    """``[flower]``: the SuperNode that this node starts."""

    runtime_port: Port = 9101


class LogSettings(Settings):
    """``[log]``: whose checkpoints of the audit log count, what is kept beside it."""

    policy: LocalPath  # C2SP tlog-policy, the node's own copy
    # Seconds for which the log's own word may stand for its witnesses'.
    grace_s: Annotated[int, Field(ge=0, le=7 * 86_400)] = 4 * 3600
    # Hours between comparisons of this node's own log with it.
    recon_every_h: Annotated[float, Field(ge=0.001, le=168)] = 24
    # Days for which the openings of commitments are kept: five years.
    keep_openings_days: Annotated[int, Field(ge=1, le=36_525)] = 1827


class NodeSettings(Settings):
    """A node's file."""

    party_key = "party"
    party: str
    state: LocalPath
    passphrase_file: LocalPath
    keystore: LocalPath
    kit: LocalPath
    coordinator_fingerprint_file: LocalPath
    key_bits: int = DEFAULT_BITS
    workers: Annotated[int, Field(ge=1, le=64)] = 1  # Paillier processes
    web: WebSettings
    log: LogSettings
    flower: FlowerSettings = FlowerSettings()
    source: SourceSettings | None = None  # a party without one only asks for scores
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    hosting: HostingSettings = HostingSettings()
    pins: dict[str, Fingerprint] = Field(
        default_factory=dict
    )  # party: fingerprint in hex, compared out of band


def rules_digest(settings: NodeSettings) -> bytes:
    """Return the SHA-256 of what this node allows, wherever its files lie."""
    rules = settings.model_dump(
        mode="json", include={"training", "scoring", "hosting", "pins"}
    )
    for card in rules["hosting"]["card"]:
        card["file"] = Path(card["file"]).name
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).digest()


def read(path: Path) -> NodeSettings:
    """Load and check a node's file; raises ConfigError."""
    return load(path, NodeSettings)
