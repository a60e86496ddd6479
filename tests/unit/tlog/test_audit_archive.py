"""Exports on disk: damaged, ambiguous and missing ones."""

import contextlib
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tlog.published_log import (
    LEAVES,
    checkpoint_of,
    export_of,
)
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import AuditError, LogStoreError
from veilscore.keys.tlog.archive import MAX_FILE, open_export, write_tar
from veilscore.keys.tlog.audit import LOG_KEY, AuditReport, audit_export


def tar_of(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    write_tar(path, files)
    return path


def audited(path: Path) -> AuditReport:
    with open_export(path) as files:
        return audit_export(files)


def test_a_tar_with_two_files_of_a_name_is_refused(tmp_path: Path) -> None:
    files = export_of(LEAVES[:5])
    twice = [*files.items(), ("checkpoint", checkpoint_of(LEAVES[:4]).encode())]
    with pytest.raises(AuditError, match="twice in the tar"):
        audited(tar_of(tmp_path / "export.tar", twice))


def test_a_tar_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("checkpoint")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(AuditError, match="no plain file"):
        audited(path)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.v1.json")
    with pytest.raises(AuditError, match="missing") as caught:
        audited(tmp_path)
    assert caught.value.step == LOG_KEY


def test_a_cut_tar_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "export.tar", export_of(LEAVES).items())
    data = path.read_bytes()
    for length in (0, 100, 600, 5_000, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(AuditError):
            audited(path)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(junk=st.binary(max_size=600), at=st.integers(0, 9000))
def test_a_tar_with_any_bytes_over_it_passes_or_is_refused(
    tmp_path: Path, junk: bytes, at: int
) -> None:
    path = tar_of(tmp_path / "export.tar", export_of(LEAVES[:5]).items())
    data = path.read_bytes()
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    with contextlib.suppress(AuditError):
        assert audited(path).root == make_tree.mth(LEAVES[:5]).hex()


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    files = export_of(LEAVES[:5])
    files["registry.json"] = bytes(MAX_FILE + 1)
    with pytest.raises(AuditError, match=f"over {MAX_FILE} bytes"):
        audited(tar_of(tmp_path / "export.tar", files.items()))


def test_there_must_be_an_export(tmp_path: Path) -> None:
    with pytest.raises(LogStoreError, match="there is no export"):
        audited(tmp_path / "export.tar")
    (tmp_path / "letter.txt").write_text("Dear auditor, " * 100)
    with pytest.raises(AuditError):
        audited(tmp_path / "letter.txt")
    with pytest.raises(AuditError, match="missing"):
        audited(tmp_path)
