"""The registry that a running coordinator takes anew when its file changes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import Parties
from veilscore.coordinator.members import Members
from veilscore.keys.errors import FileError, KeysError
from veilscore.keys.registry import PartyRecord, Registry


@pytest.fixture
def path(tmp_path: Path, parties: Parties) -> Path:
    path = tmp_path / "registry.json"
    path.write_bytes(parties.registry_file)
    return path


def put(path: Path, data: bytes) -> None:
    """Replace the file as ``admit`` does."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def signed(parties: Parties, records: Sequence[PartyRecord], version: int) -> bytes:
    return Registry.sign(records, parties.signers["hub"], version)


def test_a_newer_file_is_taken(path: Path, parties: Parties) -> None:
    members = Members(path, parties.signers["hub"].verify_key)
    members.reread()
    assert (members.file, members.registry) == (
        parties.registry_file,
        parties.registry,
    )
    fewer = [r for r in parties.registry.records if r.name != "market"]
    data = signed(parties, fewer, 2)
    put(path, data)
    members.reread()
    assert (members.file, members.registry.version) == (data, 2)
    assert "market" not in members.registry.fingerprints()


def test_a_bad_file_is_told_once_and_not_taken(path: Path, parties: Parties) -> None:
    members = Members(path, parties.signers["hub"].verify_key)
    put(path, signed(parties, parties.registry.records, 3))
    members.reread()
    forger = parties.signers["bank"]
    own = [replace(r, key=forger.verify_key) for r in parties.registry.records[2:3]]
    for bad in (
        b"{}",
        signed(parties, parties.registry.records, 2),  # a rollback
        Registry.sign(own, forger, 4),
    ):
        put(path, bad)
        with pytest.raises(KeysError):
            members.reread()
        members.reread()
        assert members.registry.version == 3
    path.unlink()
    with pytest.raises(FileError, match="cannot be read"):
        members.reread()
    members.reread()


def test_an_untouched_file_is_not_read_again(path: Path, parties: Parties) -> None:
    members = Members(path, parties.signers["hub"].verify_key)
    found = path.stat()
    path.write_bytes(b"in place")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    members.reread()
    assert members.registry == parties.registry
