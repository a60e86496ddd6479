"""The secret that opens a local interface, and the file it stands in.

Whoever holds the token may do everything the interface offers. Only its hash stays in
memory, so no error, log or dump of an object shows it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Self

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from veilscore.keys import files
from veilscore.runtime.errors import ConfigError, UnauthorizedError
from veilscore.runtime.web.problems import mark_at_home

_SHORTEST: Final = 32  # characters: cannot be guessed, so guesses need no counting
_REMEDY: Final = (
    f"Write {_SHORTEST} random letters and digits or more into its file, mode 0600, "
    "and start the program again."
)
BEARER: Final = HTTPBearer(auto_error=False, description="The token of this interface")


class AccessToken:
    """A token to be checked against; raises ConfigError for one that is too short."""

    __slots__ = ("_digest",)

    def __init__(self, token: str) -> None:
        if len(token) < _SHORTEST:
            raise ConfigError(
                f"the token has fewer than {_SHORTEST} characters",
                remedy=_REMEDY,
            )
        self._digest = _digest(token)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Write a new random token to a file that only its owner may read.

        Raises FileError if there is a file or it cannot be written.
        """
        token = secrets.token_urlsafe(_SHORTEST)
        files.create(path, f"{token}\n".encode())
        return cls(token)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a token; raises FileError if others may read its file too."""
        return cls(read_token(path))

    def check(self, presented: str) -> None:
        """Raise UnauthorizedError unless this is the token."""
        # Hashes are of one length, and comparing them tells nothing about either.
        if not hmac.compare_digest(_digest(presented), self._digest):
            raise UnauthorizedError(
                "this is not the token of this interface",
                remedy="Send the token from the file that the configuration names.",
            )


def read_token(path: Path) -> str:
    """Return the token in a file that only its owner may read.

    Raises FileError, and ConfigError if it is no token.
    """
    try:
        return files.read_private(path).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            "this is no token",
            place=str(path),
            remedy=_REMEDY,
        ) from error


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def require_token(token: AccessToken) -> Callable[..., None]:
    """Return the dependency of routes that need the token as a bearer (RFC 6750)."""

    def check(
        request: Request,
        presented: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        token.check(presented.credentials if presented else "")
        mark_at_home(request)

    return check
