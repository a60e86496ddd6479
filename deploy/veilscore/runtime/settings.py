"""Read a TOML file into a frozen, fully checked settings object.

Every program has one file and one model. A key the model does not know, a value
of another type and a missing key are refused before the program does anything,
in one :class:`ConfigError` that names all of them. Values are never repeated in
it: somebody may have pasted a password. Secrets themselves are not settings; a
setting names the file that holds one (:data:`LocalPath`).
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar, Final, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from veilscore.fault import concerning
from veilscore.runtime.errors import ConfigError

# tomllib takes time with the square of a dotted key's parts: seconds for 40 KB of them.
_MOST_DOTS: Final = 100


class Settings(BaseModel):
    """Base of every table of every settings file.

    Strict: ``"8080"`` is no number, ``1`` is no truth value. A rule over several
    keys is a ``model_validator(mode="after")`` that raises ``ValueError``.
    ``party_key`` is the key that says whose file it is, if one does.
    """

    party_key: ClassVar[str] = ""
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True
    )


def beside(path: object, info: ValidationInfo) -> Path:
    """Resolve a relative path against the folder of the file it was read from.

    A settings object made without a file keeps the path as it is.
    """
    if not isinstance(path, str | Path) or not path:
        raise ValueError("should be the path of a file or folder")
    return Path(info.context["folder"], path) if info.context else Path(path)


# Plain, because a default is a path already and the file's value is text.
LocalPath = Annotated[Path, PlainValidator(beside)]

_Model = TypeVar("_Model", bound=Settings)


def load(path: Path, model: type[_Model]) -> _Model:
    """Return the settings in the TOML file ``path``, or raise ``ConfigError``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            "the file does not exist",
            place=str(path),
            remedy="Create it, or name another file",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read ({error.strerror})",
            place=str(path),
            remedy="Make it readable for the account that runs this program",
        ) from error
    return loads(data, model, path)


def loads(data: bytes, model: type[_Model], path: Path | None = None) -> _Model:
    """Return the settings in TOML that was read from ``path`` or came over a wire."""
    place = str(path) if path else ""
    context = {"folder": path.absolute().parent} if path else None
    document, text = _parse(data, place)
    try:
        return model.model_validate_json(text, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        party = document.get(model.party_key)
        with concerning(party if isinstance(party, str) else ""):
            raise _refusal(place, document, model, details) from None


def _parse(data: bytes, place: str) -> tuple[dict[str, object], str]:
    """Return what a TOML file says, also as JSON.

    In the strict mode of JSON arrays are taken for tuples and text for paths; in that
    of Python neither is.
    """
    try:
        # Editors on Windows put a byte order mark first, which TOML forbids.
        text = data.decode("utf-8-sig")
        if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
            raise ValueError(f"a line has over {_MOST_DOTS} dots")  # noqa: TRY301 - refused in one place
        document = tomllib.loads(text)
        return document, json.dumps(document, default=str)
    except UnicodeDecodeError as error:
        raise ConfigError(
            "the file is not UTF-8 text",
            place=place,
            remedy="Save it as UTF-8",
        ) from error
    # Not only TOMLDecodeError: numbers with thousands of digits, deep nesting.
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the file is not TOML: {error}",
            place=place,
            remedy="Correct the line",
        ) from error


def _refusal(
    place: str,
    document: dict[str, object],
    model: type[Settings],
    details: Sequence[ErrorDetails],
) -> ConfigError:
    problems: list[str] = []
    remedies: list[str] = []
    meant: set[str] = set()
    # Unknown keys first: a misspelt key is also missing, and that is one problem.
    for detail in sorted(details, key=lambda each: each["type"] != "extra_forbidden"):
        names = _names(document, detail)
        key = ".".join(names)
        if detail["type"] == "extra_forbidden":
            known = _keys(model, detail["loc"][:-1])
            likely = get_close_matches(names[-1], known, n=1)
            meant.update(".".join([*names[:-1], name]) for name in likely)
            hint = f" (did you mean `{likely[0]}`?)" if likely else ""
            problems.append(f"the key `{key}` is unknown{hint}")
            remedies.append(
                f"rename `{key}` to `{likely[0]}`" if likely else f"remove `{key}`"
            )
        elif detail["type"] != "missing":
            problems.append(f"`{key}` {_wrong(detail)}" if key else _wrong(detail))
            remedies.append(f"correct `{key}`" if key else "correct the file")
        elif key not in meant:
            problems.append(f"the key `{key}` is missing")
            remedies.append(f"add `{key}`")
    remedy = ", ".join(remedies)
    return ConfigError(
        "; ".join(problems), place=place, remedy=remedy[0].upper() + remedy[1:]
    )


def _names(document: object, detail: ErrorDetails) -> list[str]:
    """Name the tables and the key of a problem; entries count from 1, as people do.

    Pydantic also puts the names of union members into a location; those are in no
    document and are left out.
    """
    names: list[str] = []
    here = document
    for part in detail["loc"]:
        # What a TOML parser returns is made of these two.
        inside = cast("dict[int | str, object] | list[object]", here)
        if isinstance(inside, dict) and part in inside:
            names.append(str(part))
            here = inside[part]
        elif isinstance(inside, list) and isinstance(part, int):
            names[-1] += f"#{part + 1}"
            here = inside[part]
    if detail["type"] == "missing":
        names.append(str(detail["loc"][-1]))
    return names


def _wrong(detail: ErrorDetails) -> str:
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, ValueError):
        return str(raised)
    return detail["msg"].removeprefix("Input ")


def _keys(model: type[BaseModel], table: Iterable[int | str]) -> set[str]:
    """Return the keys that may stand in the table of a location."""
    models = [model]
    for part in table:
        inner = [
            found
            for outer in models
            if part in outer.model_fields
            for found in _models_in(outer.model_fields[str(part)].annotation)
        ]
        models = inner or models  # an index or a free key stays in its table
    return {key for found in models for key in found.model_fields}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
