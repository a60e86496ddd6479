"""Finds every text of the pages: in templates, in code, in interface descriptions."""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

from veilscore.coordinator.web import pages as coordinator_pages
from veilscore.node.web import pages as node_pages
from veilscore.runtime.web.api_page import list_operations
from veilscore.runtime.web.pages import HERE
from veilscore.runtime.web.shell import WebApp

SHELL = HERE
NODE = Path(node_pages.__file__).parent
COORDINATOR = Path(coordinator_pages.__file__).parent

Text = str | tuple[str, ...]
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
_KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_noop": None}


def written_texts(folder: Path) -> set[Text]:
    """Return the texts in the templates and modules of a site."""
    found = extract_from_dir(
        str(folder), _METHODS, {"**.html": {"silent": "false"}}, keywords=_KEYWORDS
    )
    return {
        message if isinstance(message, str) else tuple(message)
        for _, _, message, _, _ in found
    }


def interface_texts(app: WebApp) -> set[Text]:
    """Return what the page about the REST interface shows of its description."""

    def texts() -> Iterator[str]:
        for operation in list_operations(app.openapi()):
            yield from (operation.summary, operation.text)
            yield from (field.text for field in (*operation.takes, *operation.gives))
            yield from (text for _, text in operation.statuses)

    return {text for text in texts() if text}


def translated_texts(folder: Path) -> set[Text]:
    """Return the texts that the catalogue of a site translates."""
    with (folder / "zh_CN.po").open("rb") as file:
        catalogue = read_po(file, locale="zh_CN", abort_invalid=True)
    return {
        message.id if isinstance(message.id, str) else tuple(message.id)
        for message in catalogue
        if message.id and message.string and all(message.string) and not message.fuzzy
    }
