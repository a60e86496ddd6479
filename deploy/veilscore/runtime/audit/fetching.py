"""Fetches a log into one tar file, over HTTP or from a node's own; verifies nothing."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import httpx
from pydantic import BaseModel, Field
from rich.progress import Progress

from veilscore.keys.tlog.archive import MAX_FILE, write_tar
from veilscore.keys.tlog.chain import own_files
from veilscore.keys.tlog.export import plan_export
from veilscore.runtime.audit.auditor import Auditor
from veilscore.runtime.errors import ConfigError, UnreachableError, WireError
from veilscore.runtime.tls import client_context

_TIMEOUT_S = 30
_NOT_LET_IN = {401, 403}


class _Said(BaseModel):
    """What is read of a problem."""

    detail: str = Field(max_length=1000)


class RemoteLog:
    """A running coordinator's log, file by file.

    All but entries are fetched once: what is read belongs to one checkpoint, though the
    log grows, and paths of proofs have most hashes in common.
    """

    def __init__(self, client: httpx.Client, base: str) -> None:
        self._client = client
        self._base = base
        self._fetched: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """Return a file's content; raises a Fault."""
        if name.startswith("tile/entries/"):
            return _get(self._client, self._base + name)
        if name not in self._fetched:
            self._fetched[name] = _get(self._client, self._base + name)
        return self._fetched[name]


@contextmanager
def remote_log(url: str, reader: Auditor | None) -> Generator[RemoteLog]:
    """Read the log at this address, as ``fetch`` does."""
    with _client(url, reader) as client:
        yield RemoteLog(client, url.rstrip("/") + "/")


def fetch(url: str, path: Path, reader: Auditor | None, *, quiet: bool) -> None:
    """Fetch all files of the log at this address; raises a Fault.

    With a ``reader`` the address must show a certificate of its coordinator's
    authority, and is shown the reader's.
    """
    base = url.rstrip("/") + "/"
    with _client(url, reader) as client:
        _write(path, lambda name: _get(client, base + name), quiet=quiet)


def copy(file: Path, path: Path, *, quiet: bool) -> None:
    """Copy a party's own log out of its file of events; raises a Fault."""
    with own_files(file) as get:
        _write(path, get, quiet=quiet)


def _write(path: Path, get: Callable[[str], bytes], *, quiet: bool) -> None:
    with Progress(transient=True, disable=quiet) as bar:
        plan = plan_export(get)
        files = bar.track(plan.files(get), plan.count, description="Fetching files")
        write_tar(path, files)


def _client(url: str, reader: Auditor | None) -> httpx.Client:
    if reader is None:
        return httpx.Client(timeout=_TIMEOUT_S)
    if not url.lower().startswith("https://"):
        raise ConfigError(
            "with --as the address must begin with https://: no certificate is shown "
            "at another, neither the coordinator's nor the reader's",
            place=url,
            remedy="Name the https address, or leave --as out if everybody may read.",
        )
    identity = reader.identity()
    trust = client_context(identity.authority, identity)
    return httpx.Client(timeout=_TIMEOUT_S, verify=trust)


def _refusal(response: httpx.Response, address: str) -> WireError:
    """Return what a coordinator says to whom it does not let read (RFC 9457)."""
    error = WireError(
        f"the coordinator answered {response.status_code}",
        place=address,
        remedy="Check the address, and that you may read the log.",
    )
    if response.status_code in _NOT_LET_IN:
        error.exit_code = 6
        error.remedy = (
            "Name by --as the folder of a registered party or auditor; "
            "`veilscore audit enroll` makes one."
        )
        with suppress(ValueError):
            told = b"".join(islice(response.iter_bytes(1024), 4))
            said = _Said.model_validate_json(told)
            error.what = f"the coordinator refuses: {said.detail}"
    return error


def _get(client: httpx.Client, address: str) -> bytes:
    data = bytearray()
    try:
        with client.stream("GET", address) as response:
            if not response.is_success:
                raise _refusal(response, address)
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_FILE:
                    raise WireError(f"over {MAX_FILE} bytes long", place=address)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreachableError(
            f"the log cannot be fetched ({error})",
            place=address,
            remedy="Check the address and that the coordinator is running.",
        ) from error
    return bytes(data)
