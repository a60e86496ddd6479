"""``veilscore audit`` on a node's own log: export, verify, fsck, recon, evidence."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.unit.tlog.recon_desk import Desk, recon_desk
from tests.unit.tlog.sample_log import Parties
from veilscore.keys.errors import LogStoreError, ProofError, SignatureError
from veilscore.keys.tlog.archive import write_tar
from veilscore.keys.tlog.evidence.event import EventEvidence
from veilscore.keys.tlog.recon.finding import Finding, Kind
from veilscore.v1.audit_pb2 import LogReconciled, Started
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader

with warnings.catch_warnings():
    # typer 0.20, the newest that flwr 1.41 allows, imports what click 8.5 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from typer.testing import CliRunner

    from veilscore.runtime.audit.commands import app


class Case:
    """The bank's file, and what an auditor has of the log of all."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk = desk
        self.folder = folder
        self.policy = folder / "log-policy.txt"
        self.policy.write_text(desk.log.policy_text())
        self.key = desk.log.parties.signers["bank"].verify_key

    def log(self) -> Path:
        path = self.folder / "log.tar"
        write_tar(path, self.desk.export().items())
        return path

    def own(self) -> Path:
        path = self.folder / "own.tar"
        done = run("export", "--from-file", self.desk.path, "--out", path, *self.pin())
        assert done.exit_code == 0, done.output
        return path

    def pin(self) -> tuple[str, str]:
        return "--fingerprint", self.key.fingerprint.hex()


@pytest.fixture
def case(tmp_path: Path, parties: Parties) -> Iterator[Case]:
    with recon_desk(tmp_path, parties) as desk:
        desk.log.announce()
        size, root = desk.chain.head()
        desk.say(LogReconciled(own_size=size, own_root=root))
        desk.say(Started(version="2"))
        yield Case(desk, tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_own_log_is_exported_and_verifies(case: Case) -> None:
    own = case.own()
    told = run("verify", own, *case.pin())
    assert told.exit_code == 0
    assert "✓ event signatures" in told.stdout
    assert "registry" not in told.stdout
    assert "the own log of bank" in told.stdout
    assert run("verify", own, "--fingerprint", "00" * 32).exit_code == 7
    again = run("export", "--from-file", case.desk.path, "--out", own)
    assert again.exit_code == 2  # the file is there already


def test_an_export_is_of_one_log(case: Case, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x.tar")
    assert run("export", *out).exit_code == 2
    both = ("--from", "http://127.0.0.1:1", "--from-file", case.desk.path)
    assert run("export", *both, *out).exit_code == 2
    none = run("export", "--from-file", tmp_path / "none.db", *out)
    assert isinstance(none.exception, LogStoreError)
    assert not (tmp_path / "x.tar").exists()


def test_fsck_checks_a_nodes_file_by_its_own_key(case: Case) -> None:
    told = run("fsck", case.desk.path, "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["size"] == 3
    case.desk.database.run("UPDATE entry SET kind = 'incident' WHERE idx = 1")
    damaged = run("fsck", case.desk.path)
    assert isinstance(damaged.exception, LogStoreError)
    assert "entry 1" in damaged.exception.place


@pytest.mark.parametrize("given", ["file", "export"])
def test_both_sides_are_compared(case: Case, given: str) -> None:
    own = case.desk.path if given == "file" else case.own()
    told = run("recon", own, case.log(), "--policy", case.policy, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found == {"party": "bank", "own": 3, "entries": 7, "findings": []}


def test_an_own_log_that_was_made_anew_is_found(case: Case, tmp_path: Path) -> None:
    """The bank shows its auditor another history than its events have told of.

    It has signed it with its true key, and left out the second event.
    """
    log = case.log()
    (tmp_path / "other").mkdir()
    with recon_desk(tmp_path / "other", case.desk.log.parties) as other:
        for version in "23":
            other.say(Started(version=version))
        case.desk = other
        own = case.own()
    assert run("verify", own, *case.pin()).exit_code == 0
    told = run("recon", own, log, "--policy", case.policy)
    assert told.exit_code == 7
    assert "✗ different: event 2" in told.stdout
    # Event 2 of the log tells of the first event only, and that is the same.
    assert "✗ rewritten" not in told.stdout


def test_an_own_log_that_is_not_what_an_event_told_of_is_found(case: Case) -> None:
    case.desk.say(LogReconciled(own_size=3, own_root=bytes(32)))
    told = run("recon", case.own(), case.log(), "--policy", case.policy)
    assert told.exit_code == 7
    assert told.stdout.count("✗") == 1
    assert "✗ rewritten: event 4: the own log is not the one" in told.stdout


def test_an_own_export_says_what_the_log_does_not_hold_yet(case: Case) -> None:
    log = case.log()
    case.desk.say(Started(version="3"))
    told = run("recon", case.own(), log, "--policy", case.policy)
    assert told.exit_code == 7
    assert "✗ waiting: event 4: the log does not hold it yet" in told.stdout


def test_a_file_that_its_party_did_not_sign_is_refused(case: Case) -> None:
    copy = case.folder / "copy.db"
    case.desk.database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(case.desk.path, copy)
    log = case.log()
    case.desk.database.run("DELETE FROM entry WHERE idx = 2")
    told = run("recon", case.desk.path, log, "--policy", case.policy)
    assert isinstance(told.exception, ProofError)
    assert "another tree" in told.exception.what
    assert run("recon", copy, log, "--policy", case.policy).exit_code == 0


def kept_of_entry(case: Case, signer: str) -> bytes:
    """Return what the bank keeps of entry 6 if it signs with this party's key."""
    store = case.desk.log.store
    return EventEvidence.sign(
        Finding(Kind.UNKNOWN, 3, "entry 6 is not ours"),
        store.inclusion(6),
        store.entry(6).opened.leaf,
        store.key,
        own=b"",
        finder="bank",
        signer=case.desk.log.parties.signers[signer],
        found_s=7,
    )


def test_what_a_node_keeps_of_an_event_is_its_word(case: Case) -> None:
    file = case.folder / "unknown.json"
    file.write_bytes(kept_of_entry(case, "bank"))
    told = run("evidence", file, "--json")
    assert told.exit_code == 7, told.output
    fields = json.loads(told.stdout)
    assert (fields["index"], fields["actor"], fields["seq"]) == (6, "bank", 3)
    assert (fields["finder"], fields["found"]) == ("bank", 7)
    assert fields["finder_fingerprint"] == case.key.fingerprint.hex()
    assert (fields["proof"], fields["signed_by_finder"]) == (False, True)
    said = run("evidence", file).stdout
    assert "The word of bank alone" in said
    assert "has signed this event, too" in said


def test_a_file_of_somebody_else_about_an_event_says_so(case: Case) -> None:
    file = case.folder / "unknown.json"
    file.write_bytes(kept_of_entry(case, "market"))
    told = run("evidence", file)
    assert told.exit_code == 7
    assert "has not signed this event" in told.stdout


@pytest.mark.parametrize(("true", "changed"), [("index 6", "index 5"), ("not", "now")])
def test_a_changed_file_about_an_event_is_none(
    case: Case, true: str, changed: str
) -> None:
    file = case.folder / "unknown.json"
    data = kept_of_entry(case, "bank")
    assert true.encode() in data
    file.write_bytes(data.replace(true.encode(), changed.encode()))
    assert isinstance(run("evidence", file).exception, SignatureError)


def test_an_envelope_that_came_again_is_told_from_evidence(case: Case) -> None:
    header = EnvelopeHeader(
        version=1, purpose="score", step="a" * 64, sender="market", recipient="bank"
    )
    envelope = Envelope(header=header.SerializeToString(), sealed=b"sealed")
    file = case.folder / "replay-refused-00.envelope"
    file.write_bytes(envelope.SerializeToString())
    told = run("evidence", file)
    assert told.exit_code == 7
    assert "an envelope of 'market' to 'bank'" in told.stdout
    assert hashlib.sha256(file.read_bytes()).hexdigest() in told.stdout
    assert "not by itself that it came again" in told.stdout
    fields = json.loads(run("evidence", file, "--json").stdout)
    assert (fields["kind"], fields["sender"]) == ("replay-refused", "market")
