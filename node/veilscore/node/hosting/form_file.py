"""The file of a form: JSON that a holder hands to its requesters, out of band.

It says what a requester must encrypt, and nothing secret. Its digest names it in every
query, so a requester and a holder that disagree about a bin or a range do not get a
wrong score but a refusal. The digest is of the content: spaces and the order of keys do
not count.
"""

import hashlib
import json
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.errors import ModelsError
from veilscore.models.hosted import Feature, FixedPoint, Form, OneHot
from veilscore.node.errors import FormError
from veilscore.runtime.settings import Settings

VERSION: Final = 1
LONGEST: Final = 1 << 18  # bytes of a file

_DOMAIN: Final = b"veilscore-hosted-form/1\0"
_REMEDY: Final = "Ask the data holder for its form again."

Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class FormFeature(Settings):
    """One feature by exactly one of ``edges``, ``levels`` and ``scale``.

    ``edges`` cut numbers into bins closed on the right, ``levels`` are texts with a bin
    each and, if ``pooled``, one for all others; bin 0 is for what is ``missing``.
    ``scale`` makes whole numbers of those from ``low`` to ``high``.
    """

    name: Name
    edges: tuple[Number, ...] | None = None
    levels: tuple[str, ...] | None = None
    pooled: bool = False
    missing: tuple[Number | str, ...] = ()
    scale: int | None = None
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.edges, self.levels, self.scale]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("needs exactly one of `edges`, `levels` and `scale`")
        for end in (self.low, self.high):
            if (end is None) != (self.scale is None):
                raise ValueError("needs `low` and `high` with `scale`, and only then")
        if self.pooled and self.levels is None:
            raise ValueError("has `pooled` without `levels`")
        return self

    @model_validator(mode="after")
    def _missing_of_its_kind(self) -> Self:
        if self.missing and self.scale is not None:
            raise ValueError("has `missing`, which `scale` has no input for")
        kind = str if self.levels is not None else float
        if not all(isinstance(code, kind) for code in self.missing):
            raise ValueError("has `missing` of another kind than its bins")
        return self

    def feature(self) -> Feature:
        """Return the feature; raises DataError if it contradicts itself."""
        texts = tuple(code for code in self.missing if isinstance(code, str))
        numbers = tuple(code for code in self.missing if isinstance(code, float))
        if self.levels is not None:
            return OneHot(self.name, CategoricalBins(self.levels, self.pooled, texts))
        if self.edges is not None:
            sole = (None,) * (len(self.edges) + 1)
            return OneHot(self.name, NumericBins(self.edges, sole, numbers))
        return FixedPoint(self.name, self.scale or 0, self.low or 0.0, self.high or 0.0)


class _FormFile(Settings):
    version: Literal[1]
    holder: Name
    card: Name
    bits: int
    denominator: int
    feature: tuple[FormFeature, ...]


def encode(form: Form) -> bytes:
    """Return the file of a form, for people to read too."""
    return json.dumps(_document(form), ensure_ascii=False, indent=1).encode() + b"\n"


def digest(form: Form) -> bytes:
    """Return the SHA-256 that names a form and with it card and holder; 32 bytes."""
    canonical = json.dumps(
        _document(form), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(_DOMAIN + canonical.encode()).digest()


def decode(data: bytes | str, place: str = "") -> Form:
    """Return the form of a file; raises FormError that names ``place``."""
    if len(data) > LONGEST:
        raise FormError(
            f"the form is over {LONGEST} bytes long", place=place, remedy=_REMEDY
        )
    try:
        file = _FormFile.model_validate_json(data)
        return Form(
            holder=file.holder,
            card=file.card,
            features=tuple(each.feature() for each in file.feature),
            bits=file.bits,
            denominator=file.denominator,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        raise FormError(
            f"this is no form of a hosted card: {where or 'it'}: {what}",
            place=place,
            remedy=_REMEDY,
        ) from None
    except ModelsError as error:
        raise FormError(error.what, place=place, remedy=_REMEDY) from error


def _document(form: Form) -> dict[str, object]:
    return {
        "version": VERSION,
        "holder": form.holder,
        "card": form.card,
        "bits": form.bits,
        "denominator": form.denominator,
        "feature": [_describe(feature) for feature in form.features],
    }


def _describe(feature: Feature) -> dict[str, object]:
    if isinstance(feature, FixedPoint):
        return {
            "name": feature.name,
            "scale": feature.scale,
            "low": feature.low,
            "high": feature.high,
        }
    bins = feature.bins
    if isinstance(bins, NumericBins):
        return {"name": feature.name, "edges": bins.edges, "missing": bins.missing}
    return {
        "name": feature.name,
        "levels": bins.levels,
        "pooled": bins.pooled,
        "missing": bins.missing,
    }
