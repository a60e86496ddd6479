"""What a run does without where it is missing, and says so."""

from importlib import import_module
from types import ModuleType

from veilscore.keys.paillier.private import PrivateKey


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


def safe_prime_key(bits: int) -> PrivateKey:
    """Make a key of safe primes; raises MissingError if the engine makes none."""
    try:
        engine = import_module("veilscore.keys.paillier.safe_primes")
    except ModuleNotFoundError as error:
        raise MissingError("safe primes, of which this engine makes no keys") from error

    def found(_count: int) -> None:
        """Show nothing of the search."""

    key = engine.generate(found, bits)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"a key of safe primes is a {type(key).__name__}")
    return key
