"""Models on disk: as they were put, sealed, and only those that answer rightly."""

from dataclasses import replace
from pathlib import Path

import pytest

from veilscore.keys.errors import FileError, SealError
from veilscore.keys.keystore import Keystore
from veilscore.models.binning import NumericBins
from veilscore.models.card_file import digest, encode
from veilscore.models.errors import CardFileError, DataError
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.models.vertical.layout import HIDING
from veilscore.node.errors import ManifestError, ShelfError
from veilscore.node.shelf import Shelf
from veilscore.v1.score_pb2 import CardEntry, ModelManifest

CARD = Card(
    run="run-1",
    holder="bureau",
    scale=Scale(),
    granularity=5,
    features=(
        Feature(
            "salary of the owner",
            NumericBins((1.0,), (None, None)),
            (0, -40, 60),
            (0.0, -0.7, 1.0),
        ),
    ),
    parameters={},
)
FILE = encode(CARD)
EVALUATION = {"auc": 0.77, "rows": 1200, "on_holdout": True}


def manifest(own: Card = CARD, **values: object) -> ModelManifest:
    made = ModelManifest(
        run="run-1",
        contract=bytes(32),
        cards=[
            CardEntry(party="bank", card=bytes(32), max_abs_points=300),
            CardEntry(
                party="bureau",
                card=digest(encode(own)),
                max_abs_points=own.max_abs_points,
            ),
        ],
        base_points=600,
        base_odds=20.0,
        points_to_double_odds=40.0,
        granularity=5,
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


def written(made: ModelManifest) -> bytes:
    return made.SerializeToString(deterministic=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def shelf(folder: Path, keystore: Keystore) -> Shelf:
    return Shelf(folder, keystore)


def test_a_model_comes_back_as_it_was_put(
    shelf: Shelf, folder: Path, keystore: Keystore
) -> None:
    put = shelf.put(written(manifest()), FILE, now=5.0, evaluation=EVALUATION)
    for each in (shelf, Shelf(folder, keystore)):
        got = each.get(put.hash)
        assert got is not None
        assert got == put
        assert got.card == CARD
        assert got.evaluation == EVALUATION
        assert got.holders == ("bank", "bureau")
        assert got.scale == Scale()


def test_the_latest_is_the_one_added_last_also_after_a_restart(
    shelf: Shelf, folder: Path, keystore: Keystore
) -> None:
    assert shelf.latest() is None
    for number, now in ((1, 30.0), (2, 50.0), (3, 40.0)):
        shelf.put(written(manifest(contract=bytes([number]) * 32)), FILE, now=now)
    for each in (shelf, Shelf(folder, keystore)):
        assert [model.added for model in each.list()] == [50.0, 40.0, 30.0]
        assert each.latest() == each.list()[0]


def test_putting_a_model_again_replaces_it(shelf: Shelf) -> None:
    shelf.put(written(manifest()), FILE, now=1.0)
    again = shelf.put(written(manifest()), FILE, now=2.0, evaluation=EVALUATION)
    assert shelf.list() == [again]


def test_a_requester_may_hold_no_card(shelf: Shelf) -> None:
    assert shelf.put(written(manifest()), None, now=1.0).card is None


def test_what_is_on_disk_is_sealed_and_private(shelf: Shelf, folder: Path) -> None:
    shelf.put(written(manifest()), FILE, now=1.0)
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"salary" not in path.read_bytes()
    assert "salary" not in repr(shelf.latest())


def test_a_damaged_or_renamed_file_is_not_read(
    shelf: Shelf, folder: Path, keystore: Keystore
) -> None:
    put = shelf.put(written(manifest()), FILE, now=1.0)
    path = folder / f"{put.hash.hex()}.model"
    sealed = path.read_bytes()
    path.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(SealError):
        Shelf(folder, keystore)
    path.write_bytes(sealed)
    path.rename(folder / f"{bytes(32).hex()}.model")
    with pytest.raises(SealError):
        Shelf(folder, keystore)


@pytest.mark.parametrize("version", [1, 3])
def test_a_file_of_another_version_is_not_read(
    folder: Path, keystore: Keystore, version: int
) -> None:
    folder.mkdir()
    plain = bytes((version,)) + b"{}"
    (folder / "a.model").write_bytes(keystore.seal_at_rest("a.model", plain))
    with pytest.raises(ShelfError, match=f"version {version}") as caught:
        Shelf(folder, keystore)
    assert "train the model again" in caught.value.remedy


def test_a_crash_while_writing_leaves_the_old_model(
    shelf: Shelf, folder: Path, keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = shelf.put(written(manifest()), FILE, now=1.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FileError, match="No space left"):
            shelf.put(written(manifest()), FILE, now=2.0)
    assert shelf.latest() == put
    assert Shelf(folder, keystore).list() == [put]
    assert len(list(folder.iterdir())) == 1


def test_scores_just_below_what_hides_one_are_shelved(shelf: Shelf) -> None:
    large = manifest()
    large.cards[0].max_abs_points = HIDING // 2 - CARD.max_abs_points - 1
    put = shelf.put(written(large), FILE, now=1.0)
    assert shelf.latest() == put


def test_scores_of_a_whole_model_are_one_holders_and_not_a_sum(shelf: Shelf) -> None:
    large = manifest(whole=True)
    large.cards[0].max_abs_points = HIDING // 2 - 1
    put = shelf.put(written(large), FILE, now=1.0)
    assert put.whole
    assert not shelf.put(written(manifest()), FILE, now=2.0).whole
    large.cards[0].max_abs_points += 1
    with pytest.raises(ShelfError, match="are too large"):
        shelf.put(written(large), FILE, now=1.0)


def test_a_manifest_of_others_is_taken_in_without_a_card(
    shelf: Shelf, folder: Path, keystore: Keystore
) -> None:
    added = shelf.add(written(manifest(whole=True)), "broker", now=5.0)
    assert (added.card, added.added) == (None, 5.0)
    assert shelf.add(written(manifest(whole=True)), "broker", now=9.0) == added
    assert Shelf(folder, keystore).list() == [added]


def test_a_card_that_is_here_stays_when_its_manifest_comes_again(shelf: Shelf) -> None:
    own = shelf.put(written(manifest()), FILE, now=1.0)
    assert shelf.add(written(manifest()), "bureau", now=2.0) == own
    assert own.card == CARD


def test_a_party_that_should_have_a_card_cannot_do_without(shelf: Shelf) -> None:
    with pytest.raises(ManifestError, match="which is not here") as caught:
        shelf.add(written(manifest()), "bureau", now=1.0)
    assert "backup" in caught.value.remedy
    assert shelf.list() == []


def test_a_folder_that_cannot_be_used_is_named(
    tmp_path: Path, keystore: Keystore
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ShelfError, match="file"):
        Shelf(tmp_path / "file", keystore)


UNSORTED = manifest()
UNSORTED.cards.reverse()
TWICE = manifest()
TWICE.cards[1].party = "bank"
HUGE = manifest()
HUGE.cards[0].max_abs_points = HIDING // 2 - CARD.max_abs_points
NARROW = manifest()
NARROW.cards[1].max_abs_points = CARD.max_abs_points - 1


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"\xff\xff", ShelfError, "not a manifest"),
        (b"", ShelfError, "canonical"),
        (written(manifest()) + b"\xaa\x06\x00", ShelfError, "canonical"),
        (written(UNSORTED), ShelfError, "canonical"),
        (written(TWICE), ShelfError, "canonical"),
        (written(HUGE), ShelfError, "are too large"),
        (written(NARROW), ShelfError, "exceed the manifest's bound"),
        (written(manifest(base_odds=0.0)), DataError, "scale"),
        (written(manifest(base_odds=10.0)), ShelfError, "another run or scale"),
        (written(manifest(granularity=1)), ShelfError, "another run or scale"),
        (written(manifest(run="run-2")), ShelfError, "another run or scale"),
    ],
)
def test_a_manifest_that_could_answer_wrongly_is_refused(
    shelf: Shelf, folder: Path, data: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        shelf.put(data, FILE, now=1.0)
    assert list(folder.iterdir()) == []
    assert shelf.list() == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        b"",
        written(UNSORTED),
        written(HUGE),
        written(manifest(base_odds=0.0)),
    ],
)
def test_no_such_manifest_is_taken_from_others(
    shelf: Shelf, folder: Path, data: bytes
) -> None:
    with pytest.raises(ManifestError) as caught:
        shelf.add(data, "broker", now=1.0)
    assert "Ask a party of the run" in caught.value.remedy
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(CARD, parameters={"ridge": 2.0}),
        replace(CARD, holder="bank"),
        replace(CARD, holder="market"),
    ],
)
def test_only_the_card_that_the_manifest_names_is_taken(
    shelf: Shelf, other: Card
) -> None:
    with pytest.raises(ShelfError, match="not the one"):
        shelf.put(written(manifest()), encode(other), now=1.0)


def test_a_damaged_card_is_not_taken(shelf: Shelf) -> None:
    with pytest.raises(CardFileError):
        shelf.put(written(manifest()), FILE[:-1], now=1.0)
