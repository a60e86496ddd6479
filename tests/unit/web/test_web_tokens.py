"""The token's file, and what shows of the token."""

from pathlib import Path

import pytest

from veilscore.keys.errors import FileError
from veilscore.runtime.errors import ConfigError, UnauthorizedError
from veilscore.runtime.web.tokens import AccessToken


def test_a_new_token_is_random_and_only_its_owners(tmp_path: Path) -> None:
    AccessToken.create(tmp_path / "a")
    AccessToken.create(tmp_path / "b")
    first = (tmp_path / "a").read_text().strip()
    assert len(first) >= 32
    assert first != (tmp_path / "b").read_text().strip()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    AccessToken.read(tmp_path / "a").check(first)


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    AccessToken.create(tmp_path / "a")
    before = (tmp_path / "a").read_text()
    with pytest.raises(FileError, match="exists"):
        AccessToken.create(tmp_path / "a")
    assert (tmp_path / "a").read_text() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    AccessToken.create(path)
    path.chmod(mode)
    with pytest.raises(FileError, match="other users") as caught:
        AccessToken.read(path)
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_a_weak_or_unreadable_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        AccessToken.read(path)
    with pytest.raises(FileError):
        AccessToken.read(tmp_path / "missing")


def test_only_the_very_token_is_accepted_and_nothing_shows_it() -> None:
    secret = "s3cret-" * 8
    token = AccessToken(secret)
    token.check(secret)
    for other in ("", secret[:-1], secret + "x", secret.upper(), "\ud800", "中文"):
        with pytest.raises(UnauthorizedError) as caught:
            token.check(other)
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(token)
