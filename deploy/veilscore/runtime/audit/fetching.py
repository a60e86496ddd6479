"""Fetches a log into one tar file, over HTTP or from a node's own; verifies nothing."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.progress import Progress

from veilscore.keys.tlog.archive import MAX_FILE, write_tar
from veilscore.keys.tlog.chain import own_files
from veilscore.keys.tlog.export import plan_export
from veilscore.runtime.errors import UnreachableError, WireError

_TIMEOUT_S = 30


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
def remote_log(url: str) -> Generator[RemoteLog]:
    """Read the log at this address."""
    with httpx.Client(timeout=_TIMEOUT_S) as client:
        yield RemoteLog(client, url.rstrip("/") + "/")


def fetch(url: str, path: Path, *, quiet: bool) -> None:
    """Fetch all files of the log at this address; raises a Fault."""
    base = url.rstrip("/") + "/"
    with httpx.Client(timeout=_TIMEOUT_S) as client:
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


def _get(client: httpx.Client, address: str) -> bytes:
    data = bytearray()
    try:
        with client.stream("GET", address) as response:
            if not response.is_success:
                raise WireError(
                    f"the coordinator answered {response.status_code}",
                    place=address,
                    remedy="Check the address, and that you may read the log.",
                )
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
