"""The REST interface of a running program, asked by its own operator's commands.

Shows the token to the address in the program's configuration and to nobody else. What
the program refuses (RFC 9457) is raised as it was said, with the exit code that
the command should end with.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from veilscore.keys import files
from veilscore.runtime.errors import HostError, UnreachableError, WireError
from veilscore.runtime.tls import client_context
from veilscore.runtime.web.problems import Problem
from veilscore.runtime.web.tokens import read_token

_CONNECT_S: Final = 5.0
_MOST_FLAWS: Final = 5  # of a request, told in one sentence
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not dialled

_UNAUTHORIZED: Final = 401

# The exit codes of what a program answers, as deploy/README.md lists them: by the code
# of the fault, else by the HTTP status, else 1.
_EXIT_BY_CODE: Final = {"source": 5, "coordinator-refused": 6, "bad-proof": 7}
_EXIT_BY_STATUS: Final = {
    _UNAUTHORIZED: 2,  # the configuration's token is another
    403: 6,
    422: 2,  # a contract or a request that breaks a rule
    503: 4,
    504: 4,
}

_T = TypeVar("_T")


class ProblemError(HostError):
    """What a program answered instead; ``code`` is the code of its fault."""

    code = "problem"


@dataclass(frozen=True, slots=True)
class Program:
    """Where a program of this machine answers, and how errors name it."""

    name: str  # in a sentence: "the node"
    party: str
    host: str
    port: int
    token_file: Path
    start: str  # the command that starts it
    timeout_s: float
    authority: Path | None = None  # of its certificate; without one it has no TLS

    @property
    def address(self) -> str:
        """The address to dial, also of a program that listens everywhere."""
        host = _WILDCARDS.get(self.host, self.host)
        scheme = "https" if self.authority else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """How its certificate is verified."""
        return client_context(files.read(self.authority)) if self.authority else True


class RestClient:
    """Asks one program; to be closed, or used in a ``with`` block."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._client = httpx.Client(
            base_url=program.address,
            headers={"Authorization": f"Bearer {read_token(program.token_file)}"},
            timeout=httpx.Timeout(program.timeout_s, connect=_CONNECT_S),
            trust_env=False,  # a proxy must not see the token
            verify=program.trust,
        )

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._client.close()

    def send(
        self, method: str, path: str, *, json: object = None, text: str | None = None
    ) -> bytes:
        """Return the body of the answer; ``json`` or ``text`` is the body sent.

        Raises UnreachableError without an answer, ProblemError for a refusal.
        """
        try:
            response = self._client.request(method, path, json=json, content=text)
        except httpx.RequestError as error:  # of the wire, or of its compression
            raise self._unanswered(error) from error
        if not response.is_success:
            raise self._problem(response)
        return response.content

    def ask(
        self,
        kind: type[_T],
        method: str,
        path: str,
        *,
        json: object = None,
        text: str | None = None,
    ) -> _T:
        """Return the JSON that is answered; as ``send``, and WireError if it is none.

        ``kind`` is what the answer must be, anything that Pydantic can read.
        """
        answer = self.send(method, path, json=json, text=text)
        try:
            return TypeAdapter(kind).validate_json(answer)
        except ValidationError as error:
            raise WireError(
                f"the answer of {self._program.name} cannot be read",
                party=self._program.party,
                place=self._program.address,
                remedy="Use the version of this command that the program has.",
            ) from error

    def _unanswered(self, error: httpx.RequestError) -> UnreachableError:
        program = self._program
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            what = f"has not answered within {program.timeout_s:g} s"
            remedy = (
                "It may still be at work: look at its pages at this address and at its "
                "log before you ask again."
            )
        elif "CERTIFICATE_VERIFY_FAILED" in str(error):
            what = "shows no certificate of its authority that names this address"
            remedy = "Renew its certificate, and start it again."
        else:
            what, remedy = "does not answer", f"Start it with: {program.start}"
        return UnreachableError(
            f"{program.name} {what}",
            party=program.party,
            place=program.address,
            remedy=remedy,
        )

    def _problem(self, response: httpx.Response) -> ProblemError:
        program, status = self._program, response.status_code
        check = (
            f"Check that this is where {program.name} answers, and that "
            f"{program.token_file} holds its token."
        )
        try:
            said = Problem.model_validate_json(response.content)
        except ValidationError:  # of another program, or of something before ours
            said = Problem(
                title=response.reason_phrase,
                status=status,
                code=ProblemError.code,
                detail=f"{program.name} answered {status} {response.reason_phrase}",
                place=program.address,
                remedy=check,
            )
        error = ProblemError(
            _sentence(said),
            party=said.party or program.party,
            place=said.place,
            remedy=check if status == _UNAUTHORIZED else said.remedy,
        )
        error.code = said.code
        error.exit_code = _EXIT_BY_CODE.get(said.code, _EXIT_BY_STATUS.get(status, 1))
        return error


def _sentence(said: Problem) -> str:
    """Return what was said, with the first flaws of the request."""
    what = said.detail or said.title
    flaws = [f"{flaw.pointer} {flaw.detail}".lstrip() for flaw in said.errors]
    if len(flaws) > _MOST_FLAWS:
        flaws[_MOST_FLAWS:] = [f"and {len(flaws) - _MOST_FLAWS} more"]
    return f"{what}: {'; '.join(flaws)}" if flaws else what
