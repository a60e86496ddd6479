"""What a run does without where it is missing, and says so."""

from importlib import import_module
from types import ModuleType


class MissingError(Exception):
    """Something is not here, or does not start; the text says what and why."""


def load_peer(module: str, distribution: str) -> ModuleType:
    """Import another library; raises MissingError."""
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        raise MissingError(
            f"{distribution} ({error}). To have it: .venv/bin/pip install --group bench"
        ) from error
