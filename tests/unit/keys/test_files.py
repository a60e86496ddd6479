"""Files that are whole after a crash, and nothing else left beside them."""

import multiprocessing
import os
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from veilscore.keys import files
from veilscore.keys.errors import FileError


def write_and_die(path: Path) -> None:
    """Be killed when the bytes are on disk and the name is not theirs yet."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(Path, "replace", die):
        files.replace(path, b"new")


def killed_while_writing(path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=write_and_die, args=(path,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for data in (b"old", b"new"):
        files.replace(path, data)
        assert files.read_private(path) == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_and_the_old_bytes_stay(
    tmp_path: Path,
) -> None:
    path = tmp_path / "models" / "a.model"
    path.parent.mkdir()
    files.replace(path, b"old")
    killed_while_writing(path)
    (left,) = set(path.parent.iterdir()) - {path}
    assert left.read_bytes() == b"new"
    files.sweep(tmp_path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_nothing_is_swept_that_is_not_ours_or_still_being_written(
    tmp_path: Path,
) -> None:
    kept = [
        tmp_path / "notes.unfinished",
        tmp_path / "me-writes-x.unfinished",
        tmp_path / f"{os.getppid()}-writes-x.unfinished",
        tmp_path / f"{os.getpid()}-writes-x",
    ]
    for path in kept:
        path.write_bytes(b"kept")
    own = tmp_path / f"{os.getpid()}-writes-x.unfinished"
    own.write_bytes(b"of an earlier process of this number")
    files.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        files.replace(tmp_path / "none" / "a", b"")
    assert str(tmp_path / "none" / "a") in caught.value.place
    assert caught.value.remedy
