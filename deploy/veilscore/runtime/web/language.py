"""The two languages of the pages: texts, numbers and times in them.

Texts are written in English and looked up in gettext catalogues (``zh_CN.po``), which
are read as they are: nothing is compiled at build time. A text without a translation
would be shown in English; a test allows none.
"""

import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Final

from babel import Locale
from babel.dates import format_timedelta
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

CHINESE: Final = "zh-CN"
ENGLISH: Final = "en"

_LONGEST_HEADER = 200
_SMALL = 0.001  # would be rounded to three decimals
_MEGABYTE, _GIGABYTE = 10**6, 10**9
_RANGE = re.compile(r"([A-Za-z]{1,8})(?:-[\w-]*)?(?:\s*;\s*q=([01](?:\.\d{0,3})?))?")


def gettext_noop(text: str) -> str:
    """Mark a text for translation where it is defined, not where it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Language:
    """One language: ``tag`` is its BCP 47 tag, ``name`` its name in itself."""

    tag: str
    name: str
    locale: Locale
    translations: NullTranslations

    def text(self, message: str) -> str:
        """Translate a text."""
        return self.translations.gettext(message)

    def number(self, value: float) -> str:
        """Write a number with the language's separators, a small one not as nothing."""
        if 0 < abs(value) < _SMALL:
            digits = Decimal(f"{value:.3g}")
            return format_decimal(
                digits, locale=self.locale, decimal_quantization=False
            )
        return format_decimal(value, locale=self.locale)

    def figure(self, value: float) -> str:
        """Write a figure of merit with four decimals."""
        return format_decimal(value, "0.0000", locale=self.locale)

    def percent(self, fraction: float) -> str:
        """Write a fraction in whole percent."""
        return format_percent(fraction, "0%", locale=self.locale)

    def duration(self, ms: int) -> str:
        """Write roughly how long something lasts."""
        return format_timedelta(ms // 1000, locale=self.locale)

    def size(self, count: int) -> str:
        """Write roughly how many bytes something has."""
        large = count >= _GIGABYTE
        name, unit = ("gigabyte", _GIGABYTE) if large else ("megabyte", _MEGABYTE)
        tenths = max(1, round(10 * count / unit)) / 10
        return format_unit(tenths, f"digital-{name}", "short", locale=self.locale)


def load_languages(catalogues: Iterable[Path]) -> dict[str, Language]:
    """Return the languages by tag; later catalogues add to earlier ones."""
    chinese = _read_catalogues(catalogues)
    return {
        CHINESE: Language(CHINESE, "中文", Locale.parse("zh_CN"), chinese),
        ENGLISH: Language(ENGLISH, "English", Locale("en"), NullTranslations()),
    }


def _read_catalogues(paths: Iterable[Path]) -> GNUTranslations:
    merged = Catalog(locale="zh_CN")
    for path in paths:
        with path.open("rb") as file:
            for message in read_po(file, locale="zh_CN", abort_invalid=True):
                merged[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    return GNUTranslations(compiled)


def choose_language(asked: Iterable[str], accept: str, tags: Collection[str]) -> str:
    """Return the tag for a reader.

    ``asked`` are the reader's explicit choices, the strongest first; ``accept`` is
    the browser's Accept-Language header (RFC 9110, section 12.5.4), which counts if
    there is no choice. Chinese is the default.
    """
    for choice in asked:
        if choice in tags:
            return choice
    by_prefix = {tag.partition("-")[0]: tag for tag in tags}
    weights: dict[str, float] = {}
    for part in accept[:_LONGEST_HEADER].split(","):
        found = _RANGE.fullmatch(part.strip())
        if found and found[1].lower() in by_prefix:
            weights.setdefault(found[1].lower(), float(found[2] or 1))
    best = max(weights, key=weights.__getitem__, default="")  # of equals the first
    return by_prefix[best] if weights.get(best) else CHINESE


def local_time(ms: int) -> datetime:
    """Return a time in ms since 1970 in the time zone of this machine."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone()
