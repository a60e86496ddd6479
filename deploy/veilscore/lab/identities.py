"""Ids for the entities of the demo economy: well formed, unique, nobody's.

Households carry a resident id, all others a unified social credit code, with
correct check digits in the division 5099xx, which does not exist, so that no real
firm or person is hit. An id is a bijection of the entity's serial number: no table
of used ids is needed and none repeats.
"""

from collections.abc import Callable, Sequence

import numpy as np

from veilscore.keys.entity_ids import complete_resident, complete_uscc
from veilscore.lab.population import HOUSEHOLD, OF_IDS, Population, stream

_DIVISION = "5099"
_FIRST_BIRTH, _LAST_BIRTH = np.datetime64("1940-01-01"), np.datetime64("2000-01-01")
_BIRTHS = int((_LAST_BIRTH - _FIRST_BIRTH).astype(np.int64))  # days
_PEOPLE = _BIRTHS * 1_000  # three digits of sequence a day
_SYMBOLS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATIONS = len(_SYMBOLS) ** 8
# A prime above 31 and _PEOPLE's factors, so that multiplying by it is a bijection.
_STEP = 1_000_000_007
# By type: department 9 (market regulation) and 1 company, 2 sole trader or family
# farm, 3 cooperative.
_CLASSES = ("", "92", "92", "93", "91", "91")

# One digit in .3 % of the ids; both kinds of check digit notice any single digit.
_TYPO_SHARE = 0.003
# Latin characters and their full-width forms are this far apart in Unicode.
_FULL_WIDTH = {ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"}
_HANDWRITINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    lambda entity: f" {entity[:6]} {entity[6:14]} {entity[14:]}",
    lambda entity: f"{entity[:2]}-{entity[2:]}",
    lambda entity: entity.translate(_FULL_WIDTH),
)
_HANDWRITING_SHARES = (0.6, 0.1, 0.1, 0.1, 0.1)


class Identities:
    """The ids of one economy."""

    def __init__(self, seed: int) -> None:
        self._offset = int(stream(seed, OF_IDS).integers(_PEOPLE))

    def of(self, who: Population) -> tuple[list[str], list[str]]:
        """Return ids and their types ("resident" or "uscc")."""
        ids: list[str] = []
        types: list[str] = []
        for entity in zip(who.serials, who.kinds, who.regions, strict=True):
            serial, kind, region = map(int, entity)
            division = f"{_DIVISION}{region + 1:02d}"
            if kind == HOUSEHOLD:
                ids.append(self._resident(serial, division))
                types.append("resident")
            else:
                ids.append(self._organisation(serial, _CLASSES[kind] + division))
                types.append("uscc")
        return ids, types

    def _resident(self, serial: int, division: str) -> str:
        if serial >= _PEOPLE:
            raise OverflowError(f"an economy has at most {_PEOPLE} entities")
        days, sequence = divmod((serial * _STEP + self._offset) % _PEOPLE, 1_000)
        birth = str(_FIRST_BIRTH + np.timedelta64(days, "D")).replace("-", "")
        return complete_resident(f"{division}{birth}{sequence:03d}")

    def _organisation(self, serial: int, beginning: str) -> str:
        number = (serial * _STEP + self._offset) % _ORGANISATIONS
        symbols = ""
        for _ in range(8):
            number, symbol = divmod(number, len(_SYMBOLS))
            symbols += _SYMBOLS[symbol]
        return complete_uscc(beginning + symbols)


def as_typed_by_hand(ids: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Write ids as clerks do: small letters, blanks, full-width digits, typos.

    All but the typos normalise to the same id; a typo fails its check digit.
    """
    hands = rng.choice(len(_HANDWRITINGS), len(ids), p=_HANDWRITING_SHARES)
    typos = rng.random(len(ids)) < _TYPO_SHARE
    return [
        _HANDWRITINGS[hand](_mistyped(entity) if typo else entity)
        for entity, hand, typo in zip(ids, hands, typos, strict=True)
    ]


def _mistyped(entity: str) -> str:
    return f"{entity[:6]}{(int(entity[6]) + 1) % 10}{entity[7:]}"
