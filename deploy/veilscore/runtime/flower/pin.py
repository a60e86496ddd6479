"""The one Flower release this product was made for, and how its programs run.

Flower's interior moves between minor releases, and its stock programs look for
updates, send telemetry and switch on unguarded ports through their environment.
"""

import importlib.metadata
import os
from pathlib import Path
from types import ModuleType

from veilscore.runtime.errors import FlowerError

PINNED = "1.41.0"

# Without PYTHONDONTWRITEBYTECODE: a start without byte-code takes twice as long.
_DROPPED = ("FLWR_", "PYTHONDONTWRITEBYTECODE")


def require_pinned() -> None:
    """Raise FlowerError unless exactly the pinned release is installed."""
    found = importlib.metadata.version("flwr")
    if found != PINNED:
        raise FlowerError(
            f"Flower {found} is installed, but this release works with {PINNED} only",
            remedy=f"Install it: pip install flwr=={PINNED}.",
        )


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a Flower process whose files lie under ``home``.

    No FLWR_* variable is inherited: some open ports that no guard watches.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED)
    }
    return kept | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }


def replace(module: ModuleType, name: str, new: object) -> None:
    """Put ``new`` in the place of a name that one of Flower's modules uses.

    Raises FlowerError if the module has no such name.
    """
    if not hasattr(module, name):
        raise FlowerError(
            f"Flower's module {module.__name__} has no {name} any more",
            remedy=f"Install the release this was made for: flwr=={PINNED}.",
        )
    setattr(module, name, new)
