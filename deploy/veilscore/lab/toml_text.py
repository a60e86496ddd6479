"""Write a TOML document: what ``tomllib`` reads, the other way round.

The lab needs it to fill in the files of its parties and the contracts of its runs.
Tables inside tables and inside arrays come out inline.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


def to_toml(document: Mapping[str, object]) -> str:
    """Return the document, its tables last.

    Raises TypeError for a value that has no form in TOML, or none needed here.
    """
    lines: list[str] = []
    tables: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            inside = cast("Mapping[object, object]", value)
            tables += ["", f"[{_key(key)}]", *_lines(inside)]
        else:
            lines.append(_line(key, value))
    return "\n".join([*lines, *tables, ""])


def _lines(table: Mapping[object, object]) -> list[str]:
    return [_line(str(key), value) for key, value in table.items()]


def _line(key: str, value: object) -> str:
    return f"{_key(key)} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)  # inf and nan are spelt alike
    if isinstance(value, Mapping):
        inside = cast("Mapping[object, object]", value)
        return f"{{ {', '.join(_lines(inside))} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, cast('Sequence[object]', value)))}]"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but TOML wants U+007F escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
