from dataclasses import dataclass

import phe
import psutil
import pytest

from veilscore.keys.paillier import safe_primes
from veilscore.keys.paillier.private import PrivateKey


def children() -> set[psutil.Process]:
    """Return the processes below this one."""
    return set(psutil.Process().children(recursive=True))


@pytest.fixture(scope="session")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


@dataclass(frozen=True)
class Search:
    """A search for safe primes that has ended."""

    key: PrivateKey
    found: list[int]  # what was told
    left: set[psutil.Process]  # processes that it left


@pytest.fixture(scope="session")
def search() -> Search:
    """Search once: it takes seconds."""
    before, found = children(), list[int]()
    key = safe_primes.generate(found.append, 2048)
    return Search(key, found, children() - before)


@pytest.fixture(scope="session")
def safe(search: Search) -> PrivateKey:
    """A key of safe primes."""
    return search.key


@pytest.fixture(scope="session", params=["private", "safe"])
def either(request: pytest.FixtureRequest) -> PrivateKey:
    """A key of random primes, and one of safe ones."""
    key = request.getfixturevalue(request.param)
    assert isinstance(key, PrivateKey)
    return key


@pytest.fixture(scope="session")
def stranger() -> PrivateKey:
    """Another party's key, made by plain python-paillier."""
    return PrivateKey.from_phe(phe.generate_paillier_keypair(n_length=2048)[1])
