"""A log asks one witness to cosign its checkpoints.

The witness learns the log's size and some hashes of its tree. What it answers is not
signed but for cosignatures, so nothing else is believed: that the log has been rolled
back or split is shown only by a checkpoint that bears the log's own signature.
"""

import hashlib
import time
from http import HTTPStatus
from typing import Final

import httpx

from veilscore.keys.errors import ContradictedLogError, ProofError
from veilscore.keys.tlog.checkpoint import decode_decimal, open_checkpoint
from veilscore.keys.tlog.cosignature import cosigned_at
from veilscore.keys.tlog.log_policy import KnownWitness
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.witness import Answer, Submission
from veilscore.runtime.errors import HostError, UnreachableError, WireError

_TIMEOUT_S: Final = 5.0  # for the whole of an answer
_MAX_BYTES: Final = 1 << 16
_UNCOMPRESSED: Final = {"Accept-Encoding": "identity"}


class AheadError(HostError):
    """A witness that has cosigned a later checkpoint of this log already."""

    code = "witness-ahead"


class WitnessClient:
    """One witness of one log, asked by one thread."""

    def __init__(self, name: str, witness: KnownWitness, store: LogStore) -> None:
        self._name = name
        self._key = witness.key
        self._store = store
        self._url = witness.url.rstrip("/")
        self._http = httpx.Client(
            timeout=_TIMEOUT_S, trust_env=False, headers=_UNCOMPRESSED
        )
        self._cosigned = 0  # entries, as far as we know

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def cosign(self, note: str, size: int) -> str:
        """Return the witness's verified signature line under a checkpoint.

        Raises:
            UnreachableError: no answer, or it cannot cosign now.
            WireError: it does not know the log, or does not do as it should.
            AheadError: it has cosigned a later checkpoint of this log.
            ContradictedLogError: it shows a checkpoint that this log has signed and is
                not a part of.

        """
        status, body = self._submit(note, size)
        if status == Answer.CONFLICT:
            self._cosigned = self._read_size(body, size)
            status, body = self._submit(note, size)
        if status in {Answer.CONFLICT, Answer.NOT_CONSISTENT}:
            raise self._why_not(size)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnreachableError(
                f"answers {status}", party=self._name, place=self._url
            )
        if status != HTTPStatus.OK:
            raise self._wire_error(
                f"answers {status}: {body[:100].decode(errors='replace').strip()}",
                "Ask its operator whether it knows this log's key, and check its "
                "address in the log policy.",
            )
        line = self._verified(note, body)
        self._cosigned = size
        return line

    def _submit(self, note: str, size: int) -> tuple[int, bytes]:
        old = min(self._cosigned, size)
        path = self._store.consistency(old, size) if old else ()
        body = Submission(old, path, note).body
        return self._ask("POST", "add-checkpoint", body)

    def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of an answer of bounded length, in bounded time."""
        deadline, data = time.monotonic() + _TIMEOUT_S, bytearray()
        address = f"{self._url}/{path}"
        try:
            with self._http.stream(method, address, content=body) as answer:
                for part in answer.iter_raw():
                    data += part
                    if len(data) > _MAX_BYTES:
                        raise self._wire_error("answers too much")
                    if time.monotonic() > deadline:
                        raise UnreachableError(
                            "answers too slowly", party=self._name, place=address
                        )
                return answer.status_code, bytes(data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"does not answer ({type(error).__name__})",
                party=self._name,
                place=address,
                remedy="Check that the witness is running and can be reached.",
            ) from error

    def _read_size(self, body: bytes, largest: int) -> int:
        """Return the size that it says it has cosigned; a larger one proves nothing."""
        try:
            told = decode_decimal(body.decode(errors="replace").removesuffix("\n"))
        except ProofError as error:
            raise self._wire_error("answers a conflict without a size") from error
        return min(told, largest)

    def _why_not(self, size: int) -> HostError | ContradictedLogError:
        """Look at what it has cosigned instead; return the error that this is."""
        log = self._store.key
        origin = hashlib.sha256(log.name.encode()).hexdigest()
        status, body = self._ask("GET", f"{origin}/checkpoint")
        if status != HTTPStatus.OK:
            return self._wire_error("does not cosign, nor show what it has cosigned")
        try:
            seen = open_checkpoint(body.decode(errors="replace"), log)
        except ProofError as error:
            return self._wire_error(f"shows no checkpoint of this log: {error.what}")
        if self._is_ours(seen.size, seen.root):
            self._cosigned = seen.size
            if seen.size > size:
                return AheadError("has cosigned a later one", party=self._name)
            return self._wire_error("does not cosign what continues what it cosigned")
        return ContradictedLogError(
            f"the witness has cosigned {seen.size} entries, signed by this log's key, "
            f"that this log of {self._store.size} does not continue",
            party=self._name,
            place=self._url,
            remedy="Do not go on with this log: it is older than it was, or there are "
            "two of it. Keep all files and restore the newest.",
        )

    def _is_ours(self, size: int, root: bytes) -> bool:
        try:
            return self._store.root(size) == root
        except ProofError:
            return False

    def _verified(self, note: str, body: bytes) -> str:
        """Return one line by the key that the policy names, which verifies."""
        lines = body.decode(errors="replace").splitlines(keepends=True)
        try:
            found = [
                it for it in lines if cosigned_at(note + it, self._key) is not None
            ]
        except ProofError as error:
            raise self._wire_error(f"sends a wrong line: {error.what}") from error
        if not found:
            raise self._wire_error(
                "cosigns with another key than the policy names",
                "Take its line from its operator again.",
            )
        return found[0]

    def _wire_error(self, what: str, remedy: str = "") -> WireError:
        return WireError(what, party=self._name, place=self._url, remedy=remedy)
