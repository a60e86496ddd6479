"""One encrypted file of named secrets, and the seal for other files at rest.

Whoever has the file but not the passphrase learns its size. Whoever has both, or reads
the memory of the process, has everything: Python can neither lock nor wipe memory. An
old copy of the file opens like the current one; nothing here notices a rollback.

Version 1 of the file::

    version 1 | log2 n 1 | salt 16 | nonce 12 | sealed secrets | SHA-256 of the rest 32

Seal: ChaCha20-Poly1305 under scrypt(passphrase, salt, n, r = 8, p = 1) (RFC 7914), with
everything before it as associated data. The plain hash only serves to tell a damaged
file from a wrong passphrase.
"""

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from veilscore.keys import files
from veilscore.keys.errors import KeystoreError, SealError

_VERSION: Final = 1
_LOG_N: Final = 16  # 64 MiB, about a quarter of a second
_LOG_N_ACCEPTED: Final = range(15, 18)  # a file must not choose weak or huge ones
_SALT_END: Final = 18
_HEADER: Final = 30
_NONCE: Final = 12
_CHECKSUM: Final = 32
_KEY: Final = 32
_STORAGE_KEY: Final = "storage-key"


class Keystore:
    """Named secrets in memory and in one encrypted file, which one process writes."""

    __slots__ = ("_image", "_passphrase_key", "_path", "_prefix", "_secrets")

    def __init__(
        self, path: Path, prefix: bytes, passphrase_key: bytes, image: bytes
    ) -> None:
        self._path = path
        self._prefix = prefix  # version, log2 n and salt
        self._passphrase_key = passphrase_key
        self._image = image  # the file as this process last saw it
        self._secrets: dict[str, bytes] = {}

    @classmethod
    def create(cls, path: Path, passphrase: bytes) -> Self:
        """Make a new file, mode 0600; raises KeystoreError if there is one."""
        _check_passphrase(passphrase, str(path))
        if path.exists():
            raise KeystoreError(
                "a keystore is already here",
                place=str(path),
                remedy="Choose another path, or move the old keystore away.",
            )
        prefix = bytes((_VERSION, _LOG_N)) + secrets.token_bytes(16)
        store = cls(path, prefix, _derive(passphrase, prefix), b"")
        store._write({_STORAGE_KEY: secrets.token_bytes(_KEY)})
        return store

    @classmethod
    def open(cls, path: Path, passphrase: bytes) -> Self:
        """Decrypt an existing file; raises KeystoreError or FileError, by cause."""
        image = files.read_private(path)
        _check_image(image, path)
        prefix = image[:_SALT_END]
        store = cls(path, prefix, _derive(passphrase, prefix), image)
        try:
            plain = ChaCha20Poly1305(store._passphrase_key).decrypt(
                image[_SALT_END:_HEADER], image[_HEADER:-_CHECKSUM], image[:_HEADER]
            )
        except InvalidTag as error:
            raise KeystoreError(
                "the passphrase does not open this keystore",
                place=str(path),
                remedy="Check the passphrase file; a lost passphrase cannot be "
                "recovered, only new keys can be made.",
            ) from error
        encoded: dict[str, str] = json.loads(plain)
        store._secrets = {k: base64.b64decode(v) for k, v in encoded.items()}
        return store

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted."""
        return tuple(sorted(self._secrets.keys() - {_STORAGE_KEY}))

    def get(self, name: str) -> bytes:
        """Return a secret; raises KeystoreError if it is not there."""
        if name not in self.names():
            raise KeystoreError(
                f"there is no secret {name!r} in the keystore", place=str(self._path)
            )
        return self._secrets[name]

    def put(self, name: str, secret: bytes) -> None:
        """Add or replace a secret; it is on disk when this returns.

        Raises KeystoreError if another process has written the file meanwhile.
        """
        if name == _STORAGE_KEY:
            raise KeystoreError(f"the name {name!r} is taken by the keystore itself")
        if files.read_private(self._path) != self._image:
            raise KeystoreError(
                "another process has changed the keystore",
                place=str(self._path),
                remedy="Stop the other process, then start this one again.",
            )
        self._write({**self._secrets, name: secret})

    def seal_at_rest(self, name: str, data: bytes) -> bytes:
        """Encrypt a file's content under its name: version, nonce, ciphertext."""
        nonce = secrets.token_bytes(_NONCE)
        version = bytes((_VERSION,))
        cipher = ChaCha20Poly1305(self._secrets[_STORAGE_KEY])
        return version + nonce + cipher.encrypt(nonce, data, version + name.encode())

    def open_at_rest(self, name: str, blob: bytes) -> bytes:
        """Decrypt what ``seal_at_rest`` made for that name; raises SealError."""
        if blob[:1] != bytes((_VERSION,)):
            raise SealError("this file is not of a version we can read", place=name)
        cipher = ChaCha20Poly1305(self._secrets[_STORAGE_KEY])
        nonce, sealed = blob[1 : 1 + _NONCE], blob[1 + _NONCE :]
        try:
            return cipher.decrypt(nonce, sealed, blob[:1] + name.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: a truncated nonce
            raise SealError(
                "this file is damaged, renamed, or sealed by another keystore",
                place=name,
                remedy="Restore it from a backup taken with this keystore.",
            ) from error

    def _write(self, named: dict[str, bytes]) -> None:
        encoded = {k: base64.b64encode(v).decode() for k, v in named.items()}
        nonce = secrets.token_bytes(_NONCE)
        header = self._prefix + nonce
        cipher = ChaCha20Poly1305(self._passphrase_key)
        image = header + cipher.encrypt(nonce, json.dumps(encoded).encode(), header)
        image += hashlib.sha256(image).digest()
        files.replace(self._path, image)
        self._image = image
        self._secrets = named


def read_passphrase(path: Path) -> bytes:
    """Return the one line of a passphrase file that only its owner may read.

    Raises FileError on other modes and KeystoreError on an empty passphrase.
    """
    passphrase = files.read_private(path).rstrip(b"\r\n")
    _check_passphrase(passphrase, str(path))
    return passphrase


def _check_passphrase(passphrase: bytes, place: str) -> None:
    if not passphrase:
        raise KeystoreError(
            "the passphrase is empty",
            place=place,
            remedy="Write a long random passphrase into the passphrase file.",
        )


def _derive(passphrase: bytes, prefix: bytes) -> bytes:
    kdf = Scrypt(salt=prefix[2:_SALT_END], length=_KEY, n=2 ** prefix[1], r=8, p=1)
    return kdf.derive(passphrase)


def _check_image(image: bytes, path: Path) -> None:
    if image and image[0] != _VERSION:
        raise KeystoreError(
            f"this is not a keystore of version {_VERSION}", place=str(path)
        )
    whole = hashlib.sha256(image[:-_CHECKSUM]).digest() == image[-_CHECKSUM:]
    if len(image) < _HEADER + _CHECKSUM or not whole or image[1] not in _LOG_N_ACCEPTED:
        raise KeystoreError(
            "the keystore file is damaged",
            place=str(path),
            remedy="Restore it from a backup.",
        )
