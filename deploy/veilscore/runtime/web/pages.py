"""Renders the pages: Jinja2 templates, escaped, in the reader's language.

A site has a folder with ``templates/`` and ``zh_CN.po``; both come on top of the ones
here. Templates get every value from the route and ask for nothing themselves.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from veilscore.runtime.web.language import (
    Language,
    choose_language,
    load_languages,
    local_time,
)
from veilscore.runtime.web.words import word_of

HERE: Final = Path(__file__).parent
_COOKIE = "veilscore-lang"
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Site:
    """What distinguishes one site: texts are looked up in its catalogue.

    ``folder`` holds its ``templates/`` and ``zh_CN.po``; ``navigation`` is made of
    paths and texts. ``sign_in`` is where a page sends who is not signed in. What a page
    of a HTTP status says besides the problem is in ``refusals``.
    """

    name: str
    folder: Path
    navigation: tuple[tuple[str, str], ...]
    sign_in: str = ""
    refusals: Mapping[int, str] = field(default_factory=dict[int, str])


class Pages:
    """The templates of one site in both languages."""

    def __init__(self, site: Site, version: str) -> None:
        self.site = site
        self._languages = load_languages(
            folder / "zh_CN.po" for folder in (HERE, site.folder)
        )
        folders = [folder / "templates" for folder in (site.folder, HERE)]
        self._environments = {
            tag: _environment(folders, language, {"site": site, "version": version})
            for tag, language in self._languages.items()
        }

    def language(self, request: Request) -> Language:
        """Return the reader's language."""
        asked = (request.query_params.get("lang"), request.cookies.get(_COOKIE))
        tag = choose_language(
            [choice for choice in asked if choice],
            request.headers.get("accept-language", ""),
            self._languages,
        )
        return self._languages[tag]

    def render(
        self,
        request: Request,
        template: str,
        *,
        http: int = 200,
        **values: object,
    ) -> HTMLResponse:
        """Return a page with HTTP status ``http``.

        A choice of language in the address is remembered.
        """
        language = self.language(request)
        page = self._environments[language.tag].get_template(template)
        html = page.render(
            language=language,
            here=request.url.path,
            zone=_offset(datetime.now().astimezone()),
            switches=[
                (other, _address_in(request, other.tag))
                for other in self._languages.values()
            ],
            **values,
        )
        response = HTMLResponse(html, http)
        if request.query_params.get("lang") == language.tag:
            response.set_cookie(
                _COOKIE, language.tag, max_age=_YEAR_S, samesite="lax", httponly=True
            )
        return response


def _address_in(request: Request, tag: str) -> str:
    """Return the reader's address in another language."""
    url = request.url.include_query_params(lang=tag)
    return f"{url.path}?{url.query}"


def _environment(
    folders: Iterable[Path], language: Language, values: Mapping[str, Any]
) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(list(folders)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )

    def word(name: str) -> str:
        return language.text(word_of(name))

    filters: dict[str, Callable[..., object]] = {
        "number": language.number,
        "figure": language.figure,
        "percent": language.percent,
        "duration": language.duration,
        "size": language.size,
        "word": word,
        "local": local_time,
        "offset": _offset,
    }
    environment.filters.update(filters)
    texts: dict[str, Any] = {
        "gettext": language.translations.gettext,
        "ngettext": language.translations.ngettext,
    }
    environment.globals.update(texts, **values)
    return environment


def _offset(moment: datetime) -> str:
    """Write a time's distance from UTC, like ``UTC+08:00``."""
    return "UTC" + moment.isoformat()[-6:]
