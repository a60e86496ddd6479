"""What would keep a party's folder from being made is known before anything is."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from veilscore.runtime import party_folder
from veilscore.runtime.errors import ConfigError

NOBODY = 65534


@pytest.fixture
def foreign() -> Iterator[Path]:
    """Yield a folder of root's that everybody can see, being nobody."""
    if os.geteuid():
        pytest.skip("needs root")
    # Not below pytest's own folder, which only root may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("mode", "below", "why"),
    [
        (0o755, "bank", "Permission denied"),
        (0o755, "far/below/bank", "Permission denied"),
        (0o700, "bank", "Permission denied"),
        # Others could put files there, and it cannot be closed.
        (0o777, "", "Operation not permitted"),
    ],
)
def test_a_folder_of_somebody_else_is_refused(
    foreign: Path, mode: int, below: str, why: str
) -> None:
    os.seteuid(0)
    foreign.chmod(mode)
    os.seteuid(NOBODY)
    for act in (party_folder.check, party_folder.make):
        with pytest.raises(ConfigError) as caught:
            act(foreign / below, "bank")
        assert caught.value.what == f"the folder cannot be made ({why})"
        assert caught.value.place == str(foreign / below)
        assert caught.value.party == "bank"
    os.seteuid(0)
    assert not [*foreign.iterdir()]


def test_a_check_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    party_folder.check(folder, "bank")
    assert not (tmp_path / "a").exists()
    party_folder.make(folder, "bank")
    assert [path.name for path in folder.iterdir()] == ["state"]
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ConfigError, match="not empty"):
        party_folder.check(folder, "bank")
