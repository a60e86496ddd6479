"""A party that breaks the rules of secure sums is told of, with what convicts it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.protocol.score_world import People, world
from tests.protocol.training_scene import MEMBERS, TrainingScene
from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.evidence import MisconductEvidence, is_about_sums
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.terms import Pinned, Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.documents import sign_document
from veilscore.keys.errors import (
    Breach,
    KeysError,
    MisconductError,
    ProofError,
    SignatureError,
    UnheardError,
)
from veilscore.keys.identity import EVIDENCE_DOMAIN, Signer
from veilscore.node.config import NodeSettings
from veilscore.node.doctor import examine
from veilscore.node.log.incidents import FOLDER, MOST_A_DAY, about_the_log
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.session import RunSession
from veilscore.runtime.audit.commands import app
from veilscore.v1.training_pb2 import RunContract

RUN = "5f" * 16


@pytest.fixture
def scene(tmp_path: Path, people: People) -> Iterator[TrainingScene]:
    settings = TrainingSettings(approve_horizontal="automatic")
    with world(tmp_path, people) as hub:
        yield TrainingScene(hub, people, tmp_path / "runs.db", settings)


def terms(scene: TrainingScene) -> Terms:
    """Return the terms of the run's first sum."""
    body = contract(scene).SerializeToString(deterministic=True)
    signers = scene.people.signers
    pinned = [Pinned(name, signers[name].verify_key) for name in (*MEMBERS, "hub")]
    return Terms(
        run=RUN,
        round=1,
        attempt=1,
        roster=tuple(pinned[:-1]),
        aggregator=pinned[-1],
        contract=hashlib.sha256(body).digest(),
        length=5,
    )


def contract(scene: TrainingScene) -> RunContract:
    return scene.contract(RUN, privacy=None)


def swapped_keys(scene: TrainingScene) -> MisconductError:
    """Return what the bank finds when the hub lists other keys of it than it sent."""
    agreed, signers = terms(scene), scene.people.signers
    hub = Aggregator(agreed, signers["hub"])
    members = {
        name: Member(agreed, name, signers[name], RoundHistory()) for name in MEMBERS
    }
    twin = Member(agreed, "bank", signers["bank"], RoundHistory())
    for name in ("bureau", "market"):
        hub.take(members[name].advertise())
    members["bank"].advertise()
    hub.take(twin.advertise())  # those of a copy of the node, say
    with pytest.raises(MisconductError) as caught:
        members["bank"].share_keys(hub.key_list())
    assert caught.value.breach is Breach.KEY_SWAP
    return caught.value


def breaks_rules(
    scene: TrainingScene, monkeypatch: pytest.MonkeyPatch, error: MisconductError
) -> None:
    """Have the first step with a sum end in it."""

    def perform(_: RunSession, step: str, __: bytes) -> None:
        assert step == "bins"
        raise error

    monkeypatch.setattr(RunSession, "perform", perform)
    scene.join(contract(scene))
    with pytest.raises(MisconductError):
        scene.step("bins", RUN)


@pytest.fixture
def file(scene: TrainingScene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what the bank keeps of such a run."""
    breaks_rules(scene, monkeypatch, swapped_keys(scene))
    (kept,) = (scene.hub.folder / "bank" / FOLDER).iterdir()
    return kept


def test_a_breach_ends_the_run_and_is_told_with_its_evidence(
    scene: TrainingScene, file: Path
) -> None:
    stopped, progress = scene.stopped(), scene.desk.progress()
    assert (stopped.run, stopped.step, stopped.fault.party) == (RUN, "bins", "hub")
    assert progress
    assert progress.finished
    scene.node.receipts.catch_up()  # nobody waits for the log
    last = scene.hub.events("bank", RUN)[-1].event.incident
    assert last.kind == "key-swap"
    assert last.evidence == hashlib.sha256(file.read_bytes()).digest()
    assert scene.node.incidents.misconducts == 1
    assert scene.node.incidents.waiting == 0  # nothing about the log
    assert about_the_log(file.parent) == []


def test_everybody_can_verify_the_evidence(scene: TrainingScene, file: Path) -> None:
    assert is_about_sums(file.read_bytes())
    found = MisconductEvidence.load(file.read_bytes())
    assert (found.breach, found.accused, found.finder) == ("key-swap", "hub", "bank")
    assert (found.omitted, found.found_s) == (0, int(scene.now))
    assert [each.sender for each in found.statements] == ["hub", "bank"]
    assert [each.kind for each in found.statements] == [Kind.KEY_LIST, Kind.KEYS]
    agreed = terms(scene)
    assert found.terms.contract == agreed.contract
    assert (found.terms.roster, found.terms.aggregator) == (
        agreed.roster,
        agreed.aggregator,
    )
    # Both were signed in the attempt that they are shown of.
    assert {each.content.context for each in found.statements} == {agreed.context}


def test_the_command_says_what_is_proved_and_what_is_a_word(file: Path) -> None:
    said = CliRunner().invoke(app, ["evidence", str(file)])
    assert said.exit_code == ProofError.exit_code
    assert "✓ hub signed: key_list, run" in said.stdout
    assert "! The word of bank alone: key-swap: hub lists keys" in said.stdout
    as_json = CliRunner().invoke(app, ["evidence", str(file), "--json"])
    told = json.loads(as_json.stdout)
    assert (told["kind"], told["accused"], told["proof"]) == ("key-swap", "hub", False)
    assert told["senders"] == ["hub", "bank"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"breach": "rudeness"}, ProofError),
        ({"members": []}, ProofError),
        ({"aggregator": []}, ProofError),
        ({"statements": ["?"]}, ProofError),
        ({"statements": ["AAAA"]}, UnheardError),
        ({"found": -1}, ProofError),
        ({"more": 1}, KeysError),
    ],
)
def test_a_file_that_shows_something_else_is_refused(
    scene: TrainingScene,
    file: Path,
    changed: dict[str, object],
    error: type[KeysError],
) -> None:
    body = json.loads(file.read_bytes())
    for name in ("format", "public_key", "signature"):
        del body[name]
    signer = scene.people.signers["bank"]
    MisconductEvidence.load(sign_document(body, EVIDENCE_DOMAIN, signer))
    with pytest.raises(error):
        MisconductEvidence.load(sign_document(body | changed, EVIDENCE_DOMAIN, signer))
    whole = file.read_bytes().replace(b'"hub lists', b'"bank lists')
    with pytest.raises(SignatureError):
        MisconductEvidence.load(whole.replace(b'"key-swap"', b'"key-replay"'))


def test_a_party_that_did_not_sign_is_not_accused_by_its_name(
    scene: TrainingScene,
) -> None:
    """Whoever shows other keys under the parties' names has to forge nothing."""
    other = Pinned("hub", Signer.generate().verify_key)
    data = MisconductEvidence.sign(
        swapped_keys(scene),
        RUN,
        bytes(32),
        terms(scene).roster,
        other,
        finder="bank",
        signer=scene.people.signers["bank"],
        found_s=1,
    )
    with pytest.raises(UnheardError, match="has not signed"):
        MisconductEvidence.load(data)


def test_so_many_are_told_a_day_and_all_are_kept(scene: TrainingScene) -> None:
    """Each kind counts for itself, here as in a reconciliation."""
    agreed, about = contract(scene), terms(scene).contract
    registry, incidents = scene.people.registry, scene.node.incidents
    found = [
        MisconductError(Breach.BAD_SHARE, f"is number {number}", party="market")
        for number in range(MOST_A_DAY + 2)
    ]
    told = [incidents.misconduct(error, agreed, about, registry) for error in found]
    assert told == [True] * MOST_A_DAY + [False] * 2
    assert incidents.misconducts == MOST_A_DAY + 2
    assert incidents.misconduct(swapped_keys(scene), agreed, about, registry)
    scene.node.receipts.catch_up()
    kinds = [
        each.event.incident.kind
        for each in scene.hub.events("bank")
        if each.event.HasField("incident")
    ]
    assert kinds == ["bad-share"] * MOST_A_DAY + ["key-swap"]


def test_evidence_that_cannot_be_kept_hides_no_misconduct(
    scene: TrainingScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.hub.folder / "bank" / FOLDER).write_text("in the way")
    breaks_rules(scene, monkeypatch, swapped_keys(scene))
    assert "lists keys of this member" in scene.stopped().fault.what


def test_the_longest_statements_leave_room_for_the_file(scene: TrainingScene) -> None:
    error = MisconductError(
        Breach.BAD_LIST, "is long", evidence=(bytes(2 << 20), bytes(1 << 20), bytes(9))
    )
    agreed = terms(scene)
    data = MisconductEvidence.sign(
        error,
        RUN,
        agreed.contract,
        agreed.roster,
        agreed.aggregator,
        finder="bank",
        signer=scene.people.signers["bank"],
        found_s=1,
    )
    body = json.loads(data)
    assert len(data) < 4 << 20
    assert (len(body["statements"]), body["omitted"]) == (2, 1)


def test_doctor_tells_of_it_until_the_file_is_moved_away(
    tmp_path: Path, file: Path
) -> None:
    settings = NodeSettings.model_validate(
        {
            "party": "bank",
            "state": file.parent.parent,
            "passphrase_file": tmp_path / "passphrase",
            "keystore": tmp_path / "keystore",
            "kit": tmp_path / "kit.json",
            "coordinator_fingerprint_file": tmp_path / "print",
            "web": {"token_file": tmp_path / "token"},
            "log": {"policy": tmp_path / "policy"},
        }
    )

    def sums() -> str:
        found = {each.check: each for each in examine(settings)}["secure sums"]
        return str(found.fault or found.found)

    assert "1 files show it" in sums()
    file.rename(tmp_path / file.name)
    assert "no misconduct is on file" in sums()
