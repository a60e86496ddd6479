"""What a lab types to make its parties' keys."""

from pathlib import Path

import pytest

from tests.unit.lab.small_lab import Small
from veilscore.lab import enrolment
from veilscore.lab.lab_file import LabFile
from veilscore.runtime.settings import load


class Typed(Exception):  # noqa: N818 - no error: the command that was waited for
    """Ends an enrolment at the first command of a node."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(words)
        self.words = words


@pytest.mark.parametrize(
    ("line", "quick"), [("", True), ("safe_primes = true\n", False)]
)
def test_only_a_lab_that_says_so_searches_for_safe_primes(
    small: Small,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    line: str,
    quick: bool,
) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(line + (small.data / "lab.toml").read_text())

    def veilscore(*words: object, party: str = "", timeout_s: float = 120.0) -> str:
        if words[:2] == ("coordinator", "init"):
            return "00" * 32
        assert party == "bank-a"
        assert timeout_s >= 600  # a search may be long
        raise Typed([*map(str, words)])

    monkeypatch.setattr(enrolment, "veilscore", veilscore)
    with pytest.raises(Typed) as caught:
        enrolment.enrol(load(file, LabFile), small.holdings, tmp_path, lambda _: None)
    assert caught.value.words[:2] == ["node", "init"]
    assert ("--quick-key" in caught.value.words) == quick
