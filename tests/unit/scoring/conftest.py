"""One keystore for the session: opening one takes a quarter of a second."""

import pytest

from veilscore.keys.keystore import Keystore


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    path = tmp_path_factory.mktemp("keys") / "node.keystore"
    return Keystore.create(path, b"a passphrase")
