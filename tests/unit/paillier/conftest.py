import phe
import pytest

from veilscore.keys.paillier.private import PrivateKey


@pytest.fixture(scope="session")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def stranger() -> PrivateKey:
    """Another party's key, made by plain python-paillier."""
    return PrivateKey.from_phe(phe.generate_paillier_keypair(n_length=2048)[1])
