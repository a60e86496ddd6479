"""The registry in force, taken anew from its file whenever that changes.

``coordinator admit`` writes the file from another process; nothing else passes between
the two. What is not signed by the coordinator, or is older, is not taken.
"""

from pathlib import Path

from veilscore.keys import files
from veilscore.keys.identity import VerifyKey
from veilscore.keys.registry import Registry


class Members:
    """The signed file and what it says; raises a Fault if it cannot be used."""

    def __init__(self, path: Path, key: VerifyKey) -> None:
        self._path = path
        self._key = key
        self._stamp = self._look()
        self.file = files.read(path)
        self.registry = Registry.load(self.file, key.fingerprint)

    def reread(self) -> None:
        """Take a newer registry if the file has changed since the last call.

        Raises a Fault once for a file that cannot be used; the old registry stays.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        file = files.read(self._path)
        self.registry = Registry.load(
            file, self._key.fingerprint, at_least=self.registry.version
        )
        self.file = file

    def _look(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns
