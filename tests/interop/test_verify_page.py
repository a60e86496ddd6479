"""``deploy/VERIFY.md``, typed line by line by an auditor who has our files only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy_documents import DEPLOY, blocks_of, text_of
from tests.interop.conftest import HonestLog
from tests.interop.goverify import PACKAGES
from veilscore.keys.tlog.archive import write_tar


class Auditor:
    """Types blocks of the page in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.untyped = blocks_of(text_of("VERIFY.md"))

    def block(self, word: str) -> str:
        (block,) = [each for each in self.untyped if word in each]
        self.untyped.remove(block)
        return block

    def types(self, word: str) -> str:
        """Run the one block with a word in it and return what it prints."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ours = {"GOCACHE": str(self.folder / "cache"), "PATH": programs}
        done = subprocess.run(
            ["sh", "-euc", self.block(word)],
            cwd=self.folder,
            env=os.environ | ours,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.mark.usefixtures("goverify")  # skips where there is no Go
def test_the_page_leads_from_our_files_to_a_verified_log(
    honest: HonestLog, tmp_path: Path
) -> None:
    auditor = Auditor(tmp_path)
    shutil.copytree(DEPLOY / "goverify", tmp_path / "goverify")
    write_tar(tmp_path / "log.tar", honest.files.items())
    (tmp_path / "log-policy.txt").write_text(honest.keys.policy_text)
    (tmp_path / "older").write_text(honest.older(), encoding="utf-8")

    assert "--from http" in auditor.block("audit export")  # another test parses it
    assert "dpkg" in auditor.block("apt-get")  # needs root and a network
    auditor.types("go build")
    auditor.types("awk")
    assert (tmp_path / "keys.txt").read_text().split() == honest.keys.key_lines
    told = auditor.types("sha256sum")
    assert told.split()[0] == honest.keys.parties.fingerprint.hex()
    told = auditor.types("audit prove")
    assert "✓ proofs of the entries" in told
    proved = (tmp_path / "7.entry").read_bytes()
    whole, grown, entry = auditor.types("goverify audit").splitlines()
    assert whole.endswith("; begins with the 300 of the older checkpoint")
    assert grown.endswith(": begins with the 300 of the older checkpoint")
    assert entry.endswith(": the leaf is entry 7")
    assert (tmp_path / "7.entry").read_bytes() == proved
    auditor.types("cp ")
    assert (tmp_path / "older").read_text("utf-8") == honest.older(690)
    assert not auditor.untyped


def test_the_page_and_ci_install_the_same_packages() -> None:
    for text in (text_of("VERIFY.md"), (DEPLOY.parent / ".ci/run").read_text()):
        assert " ".join(PACKAGES) in text
