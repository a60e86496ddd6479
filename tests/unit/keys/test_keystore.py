"""The keystore file, what it refuses, and the seal for other files at rest."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys import keystore
from veilscore.keys.errors import FileError, KeystoreError, SealError
from veilscore.keys.keystore import Keystore, read_passphrase

PASSPHRASE = b"correct horse battery staple"
SECRET = b"\0\1 a secret that must not show \xff"


@pytest.fixture(scope="session", autouse=True)
def _cheap_scrypt() -> Iterator[None]:
    """The weakest parameter that is still accepted, so that tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keystore, "_LOG_N", 15)
        yield


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("keys") / "keystore"
    Keystore.create(path, PASSPHRASE).put("signing", SECRET)
    return path.read_bytes()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    return Keystore.create(tmp_path_factory.mktemp("store") / "keystore", PASSPHRASE)


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_secrets_survive_and_are_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    made = Keystore.create(path, PASSPHRASE)
    made.put("signing", SECRET)
    made.put("tls", b"first")
    made.put("tls", b"second")
    opened = Keystore.open(path, PASSPHRASE)
    assert opened.names() == made.names() == ("signing", "tls")
    assert opened.get("signing") == SECRET
    assert opened.get("tls") == b"second"
    assert b"secret" not in path.read_bytes()


def test_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    before = os.umask(0)
    try:
        Keystore.create(path, PASSPHRASE)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_wrong_passphrase_says_so(tmp_path: Path, image: bytes) -> None:
    with pytest.raises(KeystoreError, match="passphrase does not open"):
        Keystore.open(write(tmp_path / "keystore", image), b"wrong")


@settings(deadline=None)
@given(data=st.data())
def test_damaged_file_says_so(
    data: st.DataObject, image: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray(image)
    place = data.draw(st.integers(1, len(image) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    path = write(tmp_path_factory.getbasetemp() / "damaged", bytes(damaged))
    with pytest.raises(KeystoreError, match="damaged") as caught:
        Keystore.open(path, PASSPHRASE)
    assert "backup" in caught.value.remedy


@pytest.mark.parametrize("kept", [0, 1, 20, 40, -1])
def test_truncated_file_is_damaged(tmp_path: Path, image: bytes, kept: int) -> None:
    with pytest.raises(KeystoreError, match="damaged"):
        Keystore.open(write(tmp_path / "keystore", image[:kept]), PASSPHRASE)


@pytest.mark.parametrize("place", [2, 17, 18, 29, 30, -33])
def test_forged_checksum_does_not_help(
    tmp_path: Path, image: bytes, place: int
) -> None:
    forged = bytearray(image)
    forged[place] ^= 1
    forged[-32:] = hashlib.sha256(forged[:-32]).digest()
    with pytest.raises(KeystoreError, match="does not open"):
        Keystore.open(write(tmp_path / "keystore", bytes(forged)), PASSPHRASE)


@pytest.mark.parametrize("log_n", [1, 14, 18, 60])
def test_file_cannot_choose_weak_or_huge_scrypt(
    tmp_path: Path, image: bytes, log_n: int
) -> None:
    forged = bytearray(image)
    forged[1] = log_n
    forged[-32:] = hashlib.sha256(forged[:-32]).digest()
    with pytest.raises(KeystoreError, match="damaged"):
        Keystore.open(write(tmp_path / "keystore", bytes(forged)), PASSPHRASE)


def test_other_version_is_named(tmp_path: Path, image: bytes) -> None:
    with pytest.raises(KeystoreError, match="version 1"):
        Keystore.open(write(tmp_path / "keystore", b"\2" + image[1:]), PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_file_open_to_others_is_refused(
    tmp_path: Path, image: bytes, mode: int
) -> None:
    path = write(tmp_path / "keystore", image, mode)
    with pytest.raises(FileError) as caught:
        Keystore.open(path, PASSPHRASE)
    assert caught.value.remedy == f"Run: chmod 600 {path}"


def test_missing_file_and_missing_secret_are_named(
    tmp_path: Path, store: Keystore
) -> None:
    with pytest.raises(FileError, match="No such file"):
        Keystore.open(tmp_path / "nothing", PASSPHRASE)
    with pytest.raises(KeystoreError, match="'tls'"):
        store.get("tls")


def test_existing_keystore_is_never_overwritten(tmp_path: Path, image: bytes) -> None:
    path = write(tmp_path / "keystore", image)
    with pytest.raises(KeystoreError, match="already"):
        Keystore.create(path, PASSPHRASE)
    assert path.read_bytes() == image


def test_second_writer_is_noticed(tmp_path: Path, image: bytes) -> None:
    path = write(tmp_path / "keystore", image)
    first, second = (Keystore.open(path, PASSPHRASE) for _ in range(2))
    second.put("tls", b"of the second")
    with pytest.raises(KeystoreError, match="another process"):
        first.put("tls", b"of the first")
    assert Keystore.open(path, PASSPHRASE).get("tls") == b"of the second"


def test_failed_write_leaves_the_old_file(
    tmp_path: Path, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "keystore", image)
    opened = Keystore.open(path, PASSPHRASE)

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(FileError, match="No space left"):
        opened.put("tls", b"new")
    assert path.read_bytes() == image
    assert list(tmp_path.iterdir()) == [path]
    assert opened.names() == ("signing",)


@pytest.mark.parametrize("name", ["checkpoint", "", "行-7"])
def test_sealed_file_opens_under_its_name(store: Keystore, name: str) -> None:
    blob = store.seal_at_rest(name, SECRET)
    assert store.open_at_rest(name, blob) == SECRET
    assert b"secret" not in blob


def test_sealed_file_opens_after_a_restart(tmp_path: Path) -> None:
    made = Keystore.create(tmp_path / "keystore", PASSPHRASE)
    blob = made.seal_at_rest("marks", SECRET)
    again = Keystore.open(tmp_path / "keystore", PASSPHRASE)
    assert again.open_at_rest("marks", blob) == SECRET


def test_renamed_or_foreign_file_is_refused(store: Keystore, tmp_path: Path) -> None:
    blob = store.seal_at_rest("one", SECRET)
    other = Keystore.create(tmp_path / "other", PASSPHRASE)
    for reader, name in ((store, "two"), (other, "one")):
        with pytest.raises(SealError, match="renamed"):
            reader.open_at_rest(name, blob)


@settings(deadline=None)
@given(st.data(), st.binary(max_size=50))
def test_tampered_sealed_file_is_refused(
    store: Keystore, data: st.DataObject, content: bytes
) -> None:
    blob = bytearray(store.seal_at_rest("file", content))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealError):
        store.open_at_rest("file", bytes(blob))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage_at_rest_is_refused(store: Keystore, garbage: bytes) -> None:
    for blob in (garbage, b"\1" + garbage):
        with pytest.raises(SealError):
            store.open_at_rest("file", blob)


def test_storage_key_is_out_of_reach(store: Keystore) -> None:
    assert "storage-key" not in store.names()
    with pytest.raises(KeystoreError):
        store.get("storage-key")
    with pytest.raises(KeystoreError, match="taken"):
        store.put("storage-key", bytes(32))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"pass phrase\n", b"pass phrase"),
        (b"x\r\n", b"x"),
        ("密码".encode(), "密码".encode()),
    ],
)
def test_passphrase_is_the_line_of_the_file(
    tmp_path: Path, content: bytes, expected: bytes
) -> None:
    assert read_passphrase(write(tmp_path / "passphrase", content)) == expected


def test_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="empty"):
        read_passphrase(write(tmp_path / "passphrase", b"\n"))
    with pytest.raises(KeystoreError, match="empty"):
        Keystore.create(tmp_path / "keystore", b"")


def test_readable_passphrase_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "passphrase", b"secret\n", 0o644)
    with pytest.raises(FileError) as caught:
        read_passphrase(path)
    assert caught.value.remedy == f"Run: chmod 600 {path}"
    assert "secret" not in str(caught.value)


def test_repr_shows_no_secret(store: Keystore) -> None:
    store.put("shown", b"visible secret")
    assert "visible" not in repr(store)
