"""Read one cell, whatever the source makes of it: text, a number, NULL.

CSV gives text only; Parquet and databases give typed values. Nothing here repeats
a cell in an error.
"""

from decimal import Decimal
from math import isfinite, isnan, nan


def text_of(cell: object) -> str:
    """Return the cell as text without surrounding blanks; missing is empty."""
    if cell is None:
        return ""
    if isinstance(cell, Decimal) and cell.is_nan():
        return ""  # one that signals must not be compared
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a code column with NULLs arrives as 3.0
    if type(cell) is int:
        return str(Decimal(cell))  # which has no limit of 4,300 digits
    return "" if cell != cell else str(cell).strip()  # noqa: PLR0124 - NaN is missing


def number_of(cell: object) -> float:
    """Return a finite number, or NaN for missing; raise ValueError otherwise."""
    if cell is None:
        return nan
    if isinstance(cell, str):
        text = cell.strip()
        if "_" in text:  # Python's own notation, in no data format
            raise ValueError
        value = float(text) if text else nan
        if text and not isfinite(value):
            raise ValueError
        return value
    if not isinstance(cell, int | float | Decimal):
        raise ValueError  # noqa: TRY004 - one kind of refusal for the caller
    try:
        value = float(cell)
    except OverflowError as error:  # an integer of more than 300 digits
        raise ValueError from error
    if not (isfinite(value) or isnan(value)):
        raise ValueError
    return value
