"""Trained models on disk: each as the party holds it, sealed by its keystore.

A model is the manifest that all parties of its run agreed on, this party's own card
and, at the label holder, how well the joint card did. The card is this party's secret;
whoever has the folder without the keystore learns how many models there are.

Nothing is shelved that could answer wrongly: the card must be the manifest's, and the
scores that are asked for, of all holders together or of the one that has the whole
model, must fit a slot of a packed answer and be none that means "hidden".

A manifest may also come from elsewhere, without a card: a bank that only asks has it
from a party of the run. It is public and nobody's word need be trusted for it: a holder
answers for the hash of the manifest that it has itself, so a forged one gets no answer.
Whom a forged one names as holders learns who is asked about, though; so whoever takes
one in compares its hash with what the parties of the run have logged as registered.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict

from veilscore.keys import files
from veilscore.keys.keystore import Keystore
from veilscore.models.card_file import decode, digest
from veilscore.models.errors import ModelsError
from veilscore.models.scorecard import Card, Parameter, Scale
from veilscore.models.vertical.layout import HIDING
from veilscore.node.errors import ManifestError, ShelfError
from veilscore.v1.score_pb2 import ModelManifest

_VERSION: Final = 2
_SUFFIX: Final = ".model"
_REMEDY: Final = "Train the model again, or restore the file from a backup."


@dataclass(frozen=True, slots=True)
class ShelvedModel:
    """One model; ``hash`` is the SHA-256 of its manifest, by which all name it.

    ``card`` is None at a party that only asks for scores.
    """

    hash: bytes
    manifest: ModelManifest = field(repr=False)
    card: Card | None = field(repr=False)
    evaluation: Mapping[str, Parameter] = field(repr=False)
    added: float  # seconds since 1970

    @property
    def holders(self) -> tuple[str, ...]:
        """Names of the parties that hold a card, sorted."""
        return tuple(entry.party for entry in self.manifest.cards)

    @property
    def whole(self) -> bool:
        """Whether every card is the whole model, so that one holder gives the score."""
        return self.manifest.whole

    @property
    def scale(self) -> Scale:
        """What the points mean."""
        return _scale(self.manifest)


class Shelf:
    """The models in one folder; safe to use from any thread of one process.

    Raises ShelfError or SealError when a file of it cannot be read.
    """

    def __init__(self, folder: Path, keystore: Keystore) -> None:
        self._folder = folder
        self._keystore = keystore
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = {path: path.read_bytes() for path in folder.glob("*" + _SUFFIX)}
        except OSError as error:
            raise _unusable(folder, error) from error
        models = [self._open(path, sealed) for path, sealed in files.items()]
        self._models = {model.hash: model for model in models}

    def put(
        self,
        manifest: bytes,
        card: bytes | None,
        *,
        now: float,
        evaluation: Mapping[str, Parameter] | None = None,
    ) -> ShelvedModel:
        """Store a model, replacing what was stored of it; it is on disk on return.

        Raises ShelfError for a manifest or card that cannot be used, and
        CardFileError for a damaged card file.
        """
        stored = _Stored(
            manifest=manifest, card=card, evaluation=dict(evaluation or {}), added=now
        )
        model = _check(stored)
        path = self._folder / (model.hash.hex() + _SUFFIX)
        plain = bytes((_VERSION,)) + stored.model_dump_json().encode()
        files.replace(path, self._keystore.seal_at_rest(path.name, plain))
        self._models[model.hash] = model
        return model

    def add(self, manifest: bytes, party: str, *, now: float) -> ShelvedModel:
        """Take in the manifest of a run that ``party``, who has this shelf, was not in.

        A model that is here already stays as it is, with its card.

        Raises ManifestError for what is no manifest, or one with a card of ``party``.
        """
        try:
            names = [entry.party for entry in _read_manifest(manifest).cards]
        except (ShelfError, ModelsError) as error:
            raise ManifestError(
                error.what, remedy="Ask a party of the run for its manifest again."
            ) from error
        known = self._models.get(hashlib.sha256(manifest).digest())
        if known is not None:
            return known
        if party in names:
            raise ManifestError(
                "this party has a card of the model, which is not here",
                party=party,
                remedy="Restore the folder of its models from a backup.",
            )
        return self.put(manifest, None, now=now)

    def get(self, model_hash: bytes) -> ShelvedModel | None:
        """Return a model, or None if it is not here."""
        return self._models.get(model_hash)

    def latest(self) -> ShelvedModel | None:
        """Return the model added last, or None if there is none."""
        return next(iter(self.list()), None)

    def list(self) -> list[ShelvedModel]:
        """Return all models, the one added last first."""
        models = list(self._models.values())
        return sorted(models, key=lambda model: (model.added, model.hash), reverse=True)

    def _open(self, path: Path, sealed: bytes) -> ShelvedModel:
        plain = self._keystore.open_at_rest(path.name, sealed)
        if plain[0] != _VERSION:
            raise ShelfError(
                f"a model of version {plain[0]}, expected {_VERSION}",
                place=str(path),
                remedy="Use the release of the program that stored it, or move the "
                "file away and train the model again.",
            )
        return _check(_Stored.model_validate_json(plain[1:]))


class _Stored(BaseModel):
    model_config = ConfigDict(
        frozen=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    manifest: bytes
    card: bytes | None
    evaluation: dict[str, Parameter]
    added: float


def _check(stored: _Stored) -> ShelvedModel:
    manifest = _read_manifest(stored.manifest)
    card = None
    if stored.card is not None:
        card = decode(stored.card)
        _check_card(card, digest(stored.card), manifest)
    return ShelvedModel(
        hash=hashlib.sha256(stored.manifest).digest(),
        manifest=manifest,
        card=card,
        evaluation=stored.evaluation,
        added=stored.added,
    )


def _read_manifest(data: bytes) -> ModelManifest:
    try:
        manifest = ModelManifest.FromString(data)
    except DecodeError as error:
        raise ShelfError("this is not a manifest of a model", remedy=_REMEDY) from error
    manifest.DiscardUnknownFields()
    names = [entry.party for entry in manifest.cards]
    if (
        manifest.SerializeToString(deterministic=True) != data
        or not names
        or names != sorted(set(names))
    ):
        raise ShelfError("the manifest is not in its canonical form", remedy=_REMEDY)
    bounds = [entry.max_abs_points for entry in manifest.cards]
    if (max(bounds) if manifest.whole else sum(bounds)) >= HIDING // 2:
        raise ShelfError(
            "scores of this model are too large",
            remedy="Train the model again with fewer points to double the odds.",
        )
    _scale(manifest)  # raises DataError unless points mean something on it
    return manifest


def _check_card(card: Card, card_digest: bytes, manifest: ModelManifest) -> None:
    entry = next((e for e in manifest.cards if e.party == card.holder), None)
    if entry is None or entry.card != card_digest:
        raise ShelfError(
            "the card is not the one that the manifest names",
            party=card.holder,
            remedy=_REMEDY,
        )
    terms = (card.run, card.scale, card.granularity)
    if terms != (manifest.run, _scale(manifest), manifest.granularity):
        raise ShelfError(
            "the card is of another run or scale than the manifest",
            party=card.holder,
            remedy=_REMEDY,
        )
    if card.max_abs_points > entry.max_abs_points:
        raise ShelfError(
            "the card's partial scores exceed the manifest's bound",
            party=card.holder,
            remedy=_REMEDY,
        )


def _scale(manifest: ModelManifest) -> Scale:
    return Scale(
        manifest.base_points, manifest.base_odds, manifest.points_to_double_odds
    )


def _unusable(path: Path, error: OSError) -> ShelfError:
    return ShelfError(
        f"models cannot be stored or read here: {error.strerror}",
        place=str(path),
        remedy="Check the disk and the permissions of the folder.",
    )
