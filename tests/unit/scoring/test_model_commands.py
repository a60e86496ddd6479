"""``veilscore node card``, ``hosted-card``, ``model ...``: what they write and ask."""

import hashlib
import stat
from pathlib import Path

import pytest

from tests.protocol.whole_cards import WHOLE, whole_card, whole_manifest
from tests.unit.scoring.conftest import Run
from tests.unit.scoring.test_shelf import CARD, FILE, manifest, written
from tests.unit.web.sample_node import RUN, SampleNode
from veilscore.models.card_file import encode
from veilscore.node import config, setup
from veilscore.node.errors import ManifestError
from veilscore.node.hosting.card_file import read_card
from veilscore.node.shelf import Shelf


def shelf_of(folder: Path) -> Shelf:
    settings = config.read(folder / "node.toml")
    return Shelf(settings.state / "models", setup.open_keystore(settings))


@pytest.mark.parametrize("model", ["zz", "ab", "ab" * 32])
def test_a_model_that_is_not_there_has_no_card(
    folder: Path, run: Run, model: str
) -> None:
    out = folder / "own.card"
    options = ("--config", folder / "node.toml", "--out", out, "--model", model)
    code, told = run("card", *options)
    assert code == 2
    assert "hex" in told or f"node status --config {folder}/node.toml" in told
    assert not out.exists()


def test_the_card_is_written_for_its_owner_only(folder: Path, run: Run) -> None:
    settings = config.read(folder / "node.toml")
    shelf = Shelf(settings.state / "models", setup.open_keystore(settings))
    model = shelf.put(written(manifest()), FILE, now=1.0)
    out = folder / "own.card"
    options = ("--config", folder / "node.toml", "--model", model.hash.hex().upper())
    assert run("card", *options, "--out", out) == (0, "")
    assert out.read_bytes() == FILE
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    code, told = run("card", *options, "--out", folder / "missing" / "own.card")
    assert code == 2
    assert "missing/own.card: the file cannot be written" in told


def test_a_model_of_others_has_no_card(folder: Path, run: Run) -> None:
    shelf_of(folder).add(written(whole_manifest({"bureau": CARD})), "bank", now=1.0)
    out = folder / "own.card"
    code, told = run("card", "--config", folder / "node.toml", "--out", out)
    assert code == 2
    assert "bank: this node has no card of the model" in told
    assert not out.exists()


def test_a_manifest_that_is_exported_is_what_every_party_registered(
    folder: Path, run: Run
) -> None:
    whole = written(whole_manifest())
    shelf = shelf_of(folder)
    model = shelf.put(whole, encode(WHOLE["bank"]), now=1.0)
    shelf.put(written(manifest()), FILE, now=2.0)
    out = folder / "model.manifest"
    options = ("--config", folder / "node.toml", "--model", model.hash.hex())
    code, told = run("model", "export", *options, "--out", out)
    assert code == 0
    assert model.hash.hex() in told
    assert out.read_bytes() == whole
    assert hashlib.sha256(out.read_bytes()).digest() == model.hash
    code, told = run("model", "export", *options[:2], "--out", out)
    assert out.read_bytes() == written(manifest())  # the newest


def test_a_running_node_takes_a_manifest_in(
    served: tuple[SampleNode, Path], folder: Path, run: Run
) -> None:
    node, toml = served
    file = folder / "model.manifest"
    file.write_bytes(written(whole_manifest()))
    code, told = run("model", "add", file, "--config", toml)
    assert code == 0
    assert node.manifests == [file.read_bytes()]
    assert f"Model {hashlib.sha256(file.read_bytes()).hexdigest()} of run {RUN}" in told
    assert "one of them gives a score: bank-fuling, bank-wanzhou" in told


def test_what_is_no_manifest_is_refused(
    served: tuple[SampleNode, Path], folder: Path, run: Run
) -> None:
    node, toml = served
    file = folder / "model.manifest"
    node.fault = ManifestError("this is not a manifest", remedy="Ask for it again.")
    file.write_bytes(b"?")
    code, told = run("model", "add", file, "--config", toml)
    assert code != 0
    assert "this is not a manifest. Remedy: Ask for it again." in told
    node.fault = None
    file.write_bytes(bytes(1 << 19))
    code, told = run("model", "add", file, "--config", toml)
    assert code == 2
    assert "model.manifest: the file is over 262144 bytes long" in told
    assert node.manifests == []


def test_a_whole_card_becomes_a_file_that_can_be_hosted(folder: Path, run: Run) -> None:
    card = WHOLE["bank"]
    shelf_of(folder).put(written(whole_manifest()), encode(card), now=1.0)
    out, toml = folder / "hosted.toml", folder / "node.toml"
    options = ("--config", toml, "--out", out, "--name", "joint model")
    code, told = run("hosted-card", *options)
    made = read_card(out, "bank")
    assert code == 0
    assert f"{made.form.bits} bits an applicant, the card has {made.entropy_bits}" in (
        " ".join(told.split())
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (made.form.card, made.intercept) == ("joint model", card.intercept_points)
    assert list(made.weights) == [feature.points for feature in card.features]
    code, told = run("hosted-card", *options)  # which an operator may have changed
    assert code == 2
    assert "hosted.toml" in told
    code, told = run("form", out, "--config", toml, "--out", folder / "form.json")
    assert code == 0
    assert "11 inputs" in told


def test_what_cannot_be_hosted_leaves_no_file(folder: Path, run: Run) -> None:
    shelf = shelf_of(folder)
    shelf.put(written(manifest()), FILE, now=1.0)
    out = folder / "hosted.toml"
    options = ("--config", folder / "node.toml", "--out", out)
    code, told = run("hosted-card", *options, "--name", "x")
    assert code == 2
    assert "is a part of the model" in told
    rounded = {"bank": whole_card("bank", granularity=5)}
    shelf.put(written(whole_manifest(rounded)), encode(rounded["bank"]), now=2.0)
    code, told = run("hosted-card", *options, "--name", "x")
    assert code == 2
    assert "rounded to 5 points" in told
    shelf.put(written(whole_manifest()), encode(WHOLE["bank"]), now=3.0)
    code, told = run("hosted-card", *options, "--name", "")
    assert code == 2
    assert "hosted.toml" in told
    assert not out.exists()
