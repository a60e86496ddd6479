"""``deploy/goverify`` as a program: built as its page says, run as an auditor does."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.deploy_documents import DEPLOY, blocks_of, text_of

PACKAGES = ("golang-go", "golang-golang-x-mod-dev")
_SUMDB = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")


def build_line() -> str:
    """Return the line of VERIFY.md that builds the program."""
    lines = "\n".join(blocks_of(text_of("VERIFY.md"))).splitlines()
    (line,) = [line for line in lines if "go build" in line]
    return line


class Goverify:
    """Runs the program; ``folder`` is for it and for keys files.

    Skips the test where Go is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("go") is None or not _SUMDB.is_dir():
            pytest.skip(
                "Go or its sumdb packages are not installed: "
                f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
            )
        self._folder = folder
        shutil.copytree(DEPLOY / "goverify", folder / "goverify")
        environment = os.environ | {"GOCACHE": str(folder / "cache")}
        build = ["sh", "-c", build_line()]
        subprocess.run(build, check=True, cwd=folder, env=environment)
        self.program = folder / "goverify" / "goverify"

    def keys(self, lines: Iterable[str]) -> Path:
        """Write a keys file, beside all earlier ones."""
        path = self._folder / f"keys{len(list(self._folder.iterdir()))}.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.program, *words], capture_output=True, check=False, timeout=60
        )

    def accepts(self, *words: str | Path) -> str:
        """Return what was verified, in one line."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, b"")
        (line,) = done.stdout.decode().splitlines()
        assert line.startswith("verified: ")
        return line

    def rejects(self, *words: str | Path) -> str:
        """Return what failed, in one line."""
        done = self.run(*words)
        assert (done.returncode, done.stdout) == (1, b"")
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith("NOT VERIFIED: ")
        return line.removeprefix("NOT VERIFIED: ")
