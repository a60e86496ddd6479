"""The pages for auditors: the events of the log, one event with its proof, the parties.

Every reader of the log may read them (``readers``). They show what the log and the
registry say, and those hold no personal data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from veilscore.coordinator.log import LogService
from veilscore.coordinator.web.decoding import spread_detail, spread_envelope
from veilscore.coordinator.web.exports import (
    EVENT_COLUMNS,
    PARTY_COLUMNS,
    Row,
    csv_response,
    event_rows,
    json_response,
    party_row,
)
from veilscore.coordinator.web.verifying import climb, verify_entry
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.export import read_log_document
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.pages import Pages, Site
from veilscore.v1.audit_pb2 import Event

SITE: Final = Site(
    name=gettext_noop("Coordinator"),
    folder=Path(__file__).parent,
    navigation=(
        ("/", gettext_noop("Audit log")),
        ("/parties", gettext_noop("Parties")),
        ("/api", gettext_noop("REST interface")),
    ),
    refusals={
        HTTPStatus.UNAUTHORIZED: gettext_noop(
            "This log is for registered parties and auditors. Let the browser show the "
            "certificate of one: load it into the browser, and open this page anew."
        ),
        HTTPStatus.FORBIDDEN: gettext_noop(
            "This log is for registered parties and auditors. The certificate that the "
            "browser has shown is not one of theirs, or no longer."
        ),
    },
)

_PAGE: Final = 50
_KINDS: Final = [field.name for field in Event.DESCRIPTOR.oneofs[0].fields]
_Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a reader looks for; empty texts fit all."""

    actor: _Text = ""
    kind: _Text = ""
    correlation: _Text = ""


_Filtered = Annotated[_Filter, Depends()]


def page_routes(log: LogService, pages: Pages) -> APIRouter:
    """Return the routes of the pages and their exports."""
    router = APIRouter(include_in_schema=False)
    key = read_log_document(log.log_document())

    @router.get("/")
    def events(
        request: Request, looked: _Filtered, before: int | None = None
    ) -> Response:
        found = log.events(
            actor=looked.actor,
            kind=looked.kind,
            correlation=looked.correlation,
            before=before,
            limit=_PAGE + 1,  # one more tells whether there is another page
        )
        url = request.url.remove_query_params("lang")
        shown = found[:_PAGE]
        return pages.render(
            request,
            "events.html",
            head=open_checkpoint(log.checkpoint(), key),
            key=key,
            entries=shown,
            looked=looked,
            actors=[record.name for record in log.registry.records],
            kinds=_KINDS,
            query=url.remove_query_params("before").query,
            newest=before is None,
            older=(
                url.include_query_params(before=shown[-1].index).query
                if len(found) > _PAGE
                else ""
            ),
            site_address=str(request.base_url).rstrip("/"),
        )

    @router.get("/events.csv")
    def events_csv(looked: _Filtered) -> Response:
        return csv_response(EVENT_COLUMNS, _rows(log, looked))

    @router.get("/events.json")
    def events_json(looked: _Filtered) -> Response:
        return json_response(_rows(log, looked))

    @router.get("/events/{index}")
    def event(request: Request, index: int) -> Response:
        entry, proof = log.event(index), log.inclusion(index)
        checks = verify_entry(entry, log, key, proof)
        verified = not any(check.failed for check in checks)
        size = open_checkpoint(proof.checkpoint, key).size if verified else 0
        return pages.render(
            request,
            "event.html",
            entry=entry,
            envelope=spread_envelope(entry.opened.event),
            detail=spread_detail(entry.opened.event),
            checks=checks,
            verified=verified,
            path=climb(entry.opened.leaf, index, size, proof.path) if verified else [],
            last=log.size - 1,
        )

    @router.get("/events/{index}/entry")
    def leaf(index: int) -> Response:
        return _download(log.event(index).opened.leaf, f"{index}.entry")

    @router.get("/events/{index}/proof")
    def proof(index: int) -> Response:
        return _download(log.inclusion(index).text.encode(), f"{index}.tlog-proof")

    @router.get("/parties")
    def parties(request: Request) -> Response:
        last = {
            record.name: next(iter(log.events(actor=record.name, limit=1)), None)
            for record in log.registry.records
        }
        return pages.render(request, "parties.html", registry=log.registry, last=last)

    @router.get("/parties.csv")
    def parties_csv() -> Response:
        return csv_response(PARTY_COLUMNS, map(party_row, log.registry.records))

    @router.get("/parties.json")
    def parties_json() -> Response:
        return json_response(map(party_row, log.registry.records))

    return router


def _rows(log: LogService, looked: _Filter) -> Iterator[Row]:
    return event_rows(
        log, actor=looked.actor, kind=looked.kind, correlation=looked.correlation
    )


def _download(data: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, 200, headers, "application/octet-stream")
