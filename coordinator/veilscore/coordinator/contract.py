"""What a run may do: from the operator's TOML to the contract every node approves.

With ``members`` it is the contract of a horizontal run, with ``label_holder`` and
``feature_holders`` that of a vertical one. Everything that can be known to be wrong
before a node is asked is refused here, all problems in one error. What each node
allows, its own policy decides.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ConfigDict

from veilscore.coordinator.contract_clauses import Problem
from veilscore.coordinator.errors import ContractError
from veilscore.coordinator.horizontal_contract import (
    HorizontalSettings,
    horizontal_contract,
    horizontal_problems,
)
from veilscore.coordinator.vertical_contract import (
    VerticalSettings,
    vertical_contract,
    vertical_problems,
)
from veilscore.keys.registry import Registry
from veilscore.models.errors import ModelsError
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, loads
from veilscore.v1.training_pb2 import RunContract

_HORIZONTAL = {"members", "horizontal"}
_VERTICAL = {"label_holder", "feature_holders"}


class _Kind(Settings):
    """The keys that say of which kind a contract is."""

    model_config = ConfigDict(extra="ignore")

    members: object = None
    horizontal: object = None
    label_holder: object = None
    feature_holders: object = None


def read_contract(
    data: bytes, registry: Registry, run: str, path: Path | None = None
) -> RunContract:
    """Return the contract in TOML that was read from ``path`` or came over a wire.

    Raises ContractError, which names all that is wrong and where, and what to do
    about it.
    """
    place = str(path) if path else ""
    try:
        if _is_horizontal(loads(data, _Kind, path)):
            joint = loads(data, HorizontalSettings, path)
            _refuse(horizontal_problems(joint, registry), place)
            return horizontal_contract(joint, registry, run)
        asked = loads(data, VerticalSettings, path)
    except (ConfigError, ModelsError) as error:
        raise ContractError(
            error.what, place=place or error.place, remedy=error.remedy
        ) from error
    _refuse(vertical_problems(asked, registry), place)
    return vertical_contract(asked, registry, run)


def _is_horizontal(kind: _Kind) -> bool:
    given = kind.model_fields_set
    if given & _HORIZONTAL and given & _VERTICAL:
        names = ", ".join(f"`{name}`" for name in sorted(given))
        raise ConfigError(
            f"{names} are of two kinds of runs",
            remedy="Name `members` if all have the same columns of other entities, or "
            "else `label_holder` and `feature_holders`.",
        )
    return bool(given & _HORIZONTAL)


def _refuse(found: Iterable[Problem], place: str) -> None:
    problems = list(found)
    if problems:
        raise ContractError(
            "; ".join(what for what, _ in problems),
            place=place,
            remedy=" ".join(dict.fromkeys(remedy for _, remedy in problems)),
        )
