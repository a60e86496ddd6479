"""A log asks one witness to cosign its checkpoints.

The witness learns the log's size and some hashes of its tree.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx

from veilscore.keys.errors import ContradictedLogError, ProofError
from veilscore.keys.tlog.checkpoint import decode_decimal
from veilscore.keys.tlog.cosignature import cosigned_at
from veilscore.keys.tlog.log_policy import KnownWitness
from veilscore.keys.tlog.witness import Answer, Submission
from veilscore.runtime.errors import UnreachableError, WireError

_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1 << 16

Prove = Callable[[int, int], tuple[bytes, ...]]


class WitnessClient:
    """One witness, asked by one thread; ``prove`` makes consistency proofs."""

    def __init__(self, name: str, witness: KnownWitness, prove: Prove) -> None:
        self._name = name
        self._key = witness.key
        self._prove = prove
        self._address = f"{witness.url.rstrip('/')}/add-checkpoint"
        self._http = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
        self._cosigned = 0  # entries, as far as we know

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def cosign(self, note: str, size: int) -> str:
        """Return the witness's verified signature lines under a checkpoint.

        Raises:
            UnreachableError: no answer, or it cannot cosign now.
            WireError: it does not know the log, or does not do as it should.
            ContradictedLogError: it has cosigned what this does not continue.

        """
        answer = self._submit(note, size)
        if answer.status_code == Answer.CONFLICT:
            self._cosigned = self._read_size(answer)
            if self._cosigned > size:
                raise self._contradicted(
                    f"has cosigned {self._cosigned} entries, the log has {size}"
                )
            answer = self._submit(note, size)
        if answer.status_code in {Answer.CONFLICT, Answer.NOT_CONSISTENT}:
            raise self._contradicted(
                f"has cosigned {self._cosigned} entries that this log does not continue"
            )
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnreachableError(
                f"answers {answer.status_code}", party=self._name, place=self._address
            )
        if not answer.is_success:
            raise WireError(
                f"answers {answer.status_code}: {answer.text[:100].strip()}",
                party=self._name,
                place=self._address,
                remedy="Ask its operator whether it knows this log's key, and check "
                "its address in the log policy.",
            )
        lines = self._verified(note, answer.text)
        self._cosigned = size
        return lines

    def _submit(self, note: str, size: int) -> httpx.Response:
        old = self._cosigned
        path = self._prove(old, size) if old else ()
        body = Submission(old, path, note).body
        try:
            answer = self._http.post(self._address, content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"does not answer ({type(error).__name__})",
                party=self._name,
                place=self._address,
                remedy="Check that the witness is running and can be reached.",
            ) from error
        if len(answer.content) > _MAX_BYTES:
            raise WireError("answers too much", party=self._name, place=self._address)
        return answer

    def _read_size(self, answer: httpx.Response) -> int:
        try:
            return decode_decimal(answer.text.removesuffix("\n"))
        except ProofError as error:
            raise WireError(
                "answers a conflict without a size",
                party=self._name,
                place=self._address,
            ) from error

    def _verified(self, note: str, lines: str) -> str:
        """Keep the lines of the key that the policy names, and see that they verify."""
        try:
            found = [
                line
                for line in lines.splitlines(keepends=True)
                if cosigned_at(note + line, self._key) is not None
            ]
        except ProofError as error:
            raise WireError(
                f"sends a wrong cosignature: {error.what}",
                party=self._name,
                place=self._address,
            ) from error
        if not found:
            raise WireError(
                "cosigns with another key than the policy names",
                party=self._name,
                place=self._address,
                remedy="Take its line from its operator again.",
            )
        return "".join(found)

    def _contradicted(self, what: str) -> ContradictedLogError:
        return ContradictedLogError(
            f"the witness {what}",
            party=self._name,
            place=self._address,
            remedy="Do not go on with this log: it is older than it was, or there are "
            "two of it. Keep all files and restore the newest.",
        )
