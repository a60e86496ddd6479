"""``veilscore audit prove``, and ``verify`` of what it wrote."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.unit.tlog.evidence_story import QUERY, Evidence
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.sample_log import Parties
from tests.unit.tlog.serving import ExportWeb
from veilscore.keys.errors import AuditError, LogStoreError, ProofError
from veilscore.keys.tlog.archive import write_tar
from veilscore.keys.tlog.entry_proof import (
    audit_proofs,
    by_index,
    parse_proof,
    take_proofs,
)
from veilscore.keys.tlog.tlog_proof import TlogProof

with warnings.catch_warnings():
    # typer 0.20, the newest that flwr 1.41 allows, imports what click 8.5 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from typer.testing import CliRunner

    from veilscore.runtime.audit.commands import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(result: Result) -> list[str]:
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def evidence(
    tmp_path_factory: pytest.TempPathFactory, parties: Parties
) -> Iterator[Evidence]:
    made = Evidence(tmp_path_factory.mktemp("story"), parties)
    yield made
    made.log.close()


@pytest.fixture
def export(evidence: Evidence, tmp_path: Path) -> Path:
    (tmp_path / "policy").write_text(evidence.log.policy_text())
    write_tar(tmp_path / "log.tar", evidence.files.items())
    return tmp_path / "log.tar"


@pytest.fixture
def trust(export: Path) -> tuple[str, Path]:
    return "--policy", export.with_name("policy")


def test_an_entry_is_proved_by_its_index(
    evidence: Evidence, export: Path, trust: tuple[str, Path]
) -> None:
    out = export.with_name("7.tlog-proof")
    result = run("prove", export, "--index", 7, "--out", out, *trust)
    assert result.exit_code == 0, result.output
    assert [each for each in lines(result) if each.startswith("✓")] == [
        "✓ log key",
        "✓ checkpoint",
        "✓ witnesses",
        "✓ proofs of the entries",
    ]
    assert "cosigned by auditor, bureau" in result.stdout
    store = evidence.log.store
    leaf = out.with_suffix(".entry")
    assert leaf.read_bytes() == store.entry(7).opened.leaf
    assert out.read_text() == store.inclusion(7).text
    head = TlogProof.parse(out.read_text()).verify(leaf.read_bytes(), store.key)
    assert head.size == store.size
    verified = run("verify", out, "--leaf", leaf, *trust, "--json")
    assert verified.exit_code == 0
    told = json.loads(verified.stdout)
    assert told["entries"] == [
        {"index": 7, "actor": "hub", "type": "run_opened", "correlation": "5a" * 16}
    ]
    assert (told["verified"], told["size"]) == (True, store.size)
    assert told["witnesses"] == ["auditor", "bureau"]
    assert told["remarks"] == []


def test_an_entry_is_proved_by_its_bytes(
    evidence: Evidence, export: Path, trust: tuple[str, Path]
) -> None:
    leaf = export.with_name("held")
    leaf.write_bytes(evidence.log.store.entry(9).opened.leaf)
    out = export.with_name("held.tlog-proof")
    result = run("prove", export, "--leaf", leaf, "--out", out, *trust, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [entry["index"] for entry in told["entries"]] == [9]
    assert told["written"] == str(out)
    assert not out.with_suffix(".entry").exists()
    assert run("verify", out, "--leaf", leaf, *trust).exit_code == 0


def test_a_request_is_proved_entry_by_entry_in_a_folder(
    evidence: Evidence, export: Path, trust: tuple[str, Path]
) -> None:
    out = export.with_name("request")
    result = run("prove", export, "--correlation", QUERY, "--out", out, *trust)
    assert result.exit_code == 0, result.output
    about = evidence.log.store.entries(correlation=QUERY)
    assert len(about) == 5
    assert {path.name for path in out.iterdir()} == {
        f"{entry.index}.{kind}" for entry in about for kind in ("entry", "tlog-proof")
    }
    for entry in about:
        file = out / f"{entry.index}.tlog-proof"
        leaf = file.with_suffix(".entry")
        assert run("verify", file, "--leaf", leaf, *trust).exit_code == 0
    assert [path.name for path in export.parent.glob("request*")] == ["request"]


def test_a_running_coordinator_is_asked_for_no_more_than_the_proof_needs(
    evidence: Evidence,
    export: Path,
    trust: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    out = export.with_name("7.tlog-proof")
    with ExportWeb(dict(evidence.files)) as web:
        result = run("prove", "--from", web.url, "--index", 7, "--out", out, *trust)
        assert result.exit_code == 0, result.output
        size = evidence.log.store.size
        assert sorted(web.asked) == [
            "checkpoint",
            "log.v1.json",
            f"tile/0/000.p/{size}",
            f"tile/entries/000.p/{size}",
        ]
        asked = ("--from", web.url, "--correlation", QUERY)
        folder = export.with_name("request")
        assert run("prove", *asked, "--out", folder, *trust).exit_code == 0
    assert out.read_text() == evidence.log.store.inclusion(7).text


def test_what_is_not_there_is_a_fault_and_leaves_no_file(
    export: Path, trust: tuple[str, Path]
) -> None:
    out = export.with_name("out.tlog-proof")
    leaf = export.with_name("leaf")
    leaf.write_bytes(b"never logged")
    for words in (
        ("--index", 1000),
        ("--correlation", "ab" * 32),
        ("--leaf", leaf),
    ):
        result = run("prove", export, *words, "--out", out, *trust)
        assert isinstance(result.exception, ProofError)
        assert result.exception.exit_code == 7
        assert result.exception.remedy
    missing = run("prove", leaf.with_name("no.tar"), "--index", 1, "--out", out)
    assert isinstance(missing.exception, LogStoreError)
    assert sorted(path.name for path in export.parent.iterdir()) == [
        "leaf",
        "log.tar",
        "policy",
    ]


@pytest.mark.parametrize(
    ("name", "index"), [("tile/0/000.p/{}", 1), ("tile/entries/000.p/{}", 0)]
)
def test_a_proof_that_does_not_verify_is_not_written(
    evidence: Evidence, export: Path, trust: tuple[str, Path], name: str, index: int
) -> None:
    """The log's hashes, or its entry, are not those that lead to the root."""
    files = MemoryExport(evidence.files)
    path = name.format(evidence.log.store.size)
    at = files[path].index(b"hub") if "entries" in path else 0
    files[path] = files[path][:at] + b"H" + files[path][at + 1 :]
    write_tar(export.with_name("changed.tar"), files.items())
    out = export.with_name("changed.tlog-proof")
    words = ("prove", export.with_name("changed.tar"), "--index", index, "--out", out)
    result = run(*words, *trust)
    assert "✗ proofs of the entries" in lines(result)
    assert result.exit_code == 7
    told = json.loads(run(*words, *trust, "--json").stdout)
    assert (told["verified"], told["step"]) == (False, "proofs of the entries")
    assert not out.exists()
    assert not out.with_suffix(".entry").exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--index", "1", "--correlation", QUERY),
        ("--index", "-1"),
        ("--index", "1", "--from", "http://127.0.0.1:1"),
    ],
)
def test_wrong_words_are_refused(export: Path, words: tuple[str, ...]) -> None:
    assert run("prove", export, "--out", export.with_name("x"), *words).exit_code == 2
    assert run("prove", export, "--index", 1, "--out", export).exit_code == 2
    taken = export.with_name("1.entry")
    assert run("prove", export, "--index", 1, "--out", taken).exit_code == 2
    assert not taken.exists()


def test_a_proof_needs_its_entry_and_a_key(
    evidence: Evidence, export: Path, trust: tuple[str, Path]
) -> None:
    out = export.with_name("7.tlog-proof")
    pinned = ("--fingerprint", evidence.log.parties.fingerprint.hex())
    assert run("prove", export, "--index", 7, "--out", out, *pinned).exit_code == 0
    leaf = ("--leaf", out.with_suffix(".entry"))
    assert run("verify", out, *leaf, *trust, *pinned).exit_code == 0
    assert run("verify", out, *trust).exit_code == 2
    assert run("verify", out, *leaf).exit_code == 2
    assert run("verify", out, *leaf, *pinned).exit_code == 2
    assert run("verify", out, *leaf, *trust, "--checkpoint", out).exit_code == 2
    assert run("verify", export, *leaf).exit_code == 2
    strange = run("verify", out, *leaf, *trust, "--fingerprint", "00" * 32)
    assert strange.exit_code == 7
    assert "✗ log key" in lines(strange)


def test_any_changed_byte_of_a_proof_or_its_entry_fails_at_a_step(
    evidence: Evidence,
) -> None:
    _, (proven,) = take_proofs(evidence.files, by_index(7))
    policy = evidence.log.policy
    text = proven.proof.text.encode()

    def verify(proof: bytes, leaf: bytes) -> None:
        audit_proofs([parse_proof(proof, leaf)], policy=policy)

    verify(text, proven.leaf)
    for at in range(len(text)):
        with pytest.raises(AuditError):
            verify(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :], proven.leaf)
    for at in range(len(proven.leaf)):
        other = proven.leaf[:at] + bytes([proven.leaf[at] ^ 1]) + proven.leaf[at + 1 :]
        with pytest.raises(AuditError):
            verify(text, other)
