"""Signing in to the pages, and forms that only the signed-in person can send.

A session is an entry in memory under the hash of a random cookie: HttpOnly, SameSite=
Strict, Secure under TLS, gone with the process. A form is taken only with the session's
own CSRF value and only from a page of this site. There is one token and hence one role.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response

from veilscore.runtime.errors import ForbiddenError, RequestError, UnauthorizedError
from veilscore.runtime.web.problems import mark_at_home
from veilscore.runtime.web.tokens import AccessToken

_IDLE_S: Final = 1800.0
_LONGEST_S: Final = 8 * 3600.0  # a working day
_MOST_SESSIONS: Final = 100
_MOST_FIELDS: Final = 50


@dataclass(slots=True)
class Session:
    """One person's stay; ``csrf`` stands in every form of it."""

    csrf: str
    opened: float  # seconds on the doorman's clock, like the next
    seen: float


class Doorman:
    """Opens sessions for who knows the token; used from any thread.

    ``realm`` makes the cookie's name the site's own: browsers send cookies to every
    port of a host. ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, token: AccessToken, realm: str, clock: Callable[[], float]
    ) -> None:
        self._token = token
        self._cookie = f"veilscore-{realm}"
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def sign_in(self, request: Request, response: Response, token: str) -> None:
        """Open a session and put its cookie on the response.

        Raises UnauthorizedError for another token.
        """
        self._token.check(token)
        now = self._clock()
        key = secrets.token_urlsafe(32)
        self._sessions[_digest(key)] = Session(secrets.token_urlsafe(32), now, now)
        for oldest in list(self._sessions)[:-_MOST_SESSIONS]:
            self._sessions.pop(oldest, None)
        response.set_cookie(
            self._cookie,
            key,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def sign_out(self, request: Request, response: Response) -> None:
        """End the request's session, if it has one."""
        self._sessions.pop(self._key(request), None)
        response.delete_cookie(self._cookie, httponly=True, samesite="strict")

    def session(self, request: Request, *, active: bool = True) -> Session:
        """Return the request's session; raises UnauthorizedError without one.

        ``active``: a person asks, not the script of an open page.
        """
        key, now = self._key(request), self._clock()
        session = self._sessions.get(key)
        if session is None:
            raise UnauthorizedError("nobody is signed in", remedy="Sign in.")
        if now - session.seen > _IDLE_S or now - session.opened > _LONGEST_S:
            self._sessions.pop(key, None)
            raise UnauthorizedError("the session has ended", remedy="Sign in again.")
        if active:
            session.seen = now
        mark_at_home(request)
        return session

    def _key(self, request: Request) -> bytes:
        return _digest(request.cookies.get(self._cookie, ""))


def check_csrf(session: Session, fields: Mapping[str, str]) -> None:
    """Raise ForbiddenError unless a form carries the session's CSRF value."""
    if not hmac.compare_digest(_digest(fields.get("csrf", "")), _digest(session.csrf)):
        raise ForbiddenError(
            "the form is not of this session",
            remedy="Go back, reload the page and send the form again.",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form sent by a page of this very site.

    Raises ForbiddenError for a foreign Origin and RequestError for another body.
    """
    # Browsers put Origin on every POST. Its scheme may be that of a proxy before us.
    if _host_of(request.headers.get("origin", "")) != request.url.netloc:
        raise ForbiddenError(
            "the form does not come from a page of this site",
            remedy="Open the page at the address that this server is reached under.",
        )
    try:
        body = (await request.body()).decode()
        pairs = parse_qsl(
            body, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise RequestError("the body is not a form") from error
    return dict(pairs)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket without its other half
        return ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
