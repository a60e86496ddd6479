"""Whatever changes something is in the audit log, or is said here to change nothing.

Every method of the hub, every address that is not only read, and every command is
listed with the events that tell of it. A new one fails here until somebody says which.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import click
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from tests.deploy_documents import ROOT
from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.sample_coordinator import (
    SampleCoordinator,
    sample_coordinator_app,
)
from tests.unit.web.sample_node import SampleNode, sample_node_app
from veilscore.v1 import hub_pb2
from veilscore.v1.audit_pb2 import Event

READS: Final = "changes nothing"
OWN_FOLDER: Final = "changes files of its own operator, before anybody is asked"

LOGGED: Final[dict[str, tuple[str, ...] | str]] = {
    # The hub's methods.
    # Of envelopes their senders' events hold the digest; of one that comes again its
    # recipient's.
    "hub Attach": ("incident",),
    "hub Publish": ("key_published",),
    "hub Directory": READS,
    "hub Append": "is how parties' events come into the log",
    "hub ReadLog": READS,
    "hub Health": READS,
    # Addresses of a node.
    "node POST /v1/scores": ("score_requested", "score_decided", "score_answered"),
    "node POST /v1/hosted-scores": (
        "score_requested",
        "score_decided",
        "score_answered",
    ),
    "node POST /v1/models": "adds a public manifest, whose requests are logged",
    "node POST /v1/runs/{run}/approve": ("run_decided",),
    "node POST /v1/runs/{run}/refuse": ("run_decided",),
    "node POST /runs/{run}": ("run_decided",),
    "node POST /v1/openings": READS,
    "node POST /v1/asked-about": READS,
    "node POST /v1/erasures": ("erased",),
    "node POST /v1/consents": ("consent_registered",),
    "node POST /v1/consents/withdraw": ("consent_withdrawn",),
    "node POST /login": "opens a session of its own operator",
    "node POST /logout": "ends it",
    # Addresses of the coordinator.
    "coordinator POST /v1/runs": ("run_opened",),
    "coordinator DELETE /v1/runs/{run}": ("run_closed",),
    # Commands.
    "veilscore coordinator init": OWN_FOLDER,
    "veilscore coordinator admit": ("party_joined", "registry_published"),
    "veilscore coordinator expel": ("registry_published",),
    "veilscore coordinator renew": ("started",),
    "veilscore coordinator run": ("started", "registry_published"),
    "veilscore coordinator stop": ("run_closed",),
    "veilscore coordinator status": READS,
    "veilscore coordinator doctor": READS,
    "veilscore train": (
        "run_opened",
        "privacy_spent",
        "sum_made",
        "step_done",
        "model_registered",
        "run_closed",
    ),
    "veilscore node init": OWN_FOLDER,
    "veilscore node join": ("started",),
    # Of itself it also compares both logs once a day, tells what it found, and erases.
    "veilscore node run": (
        "started",
        "key_published",
        "log_reconciled",
        "incident",
        "erased",
    ),
    "veilscore node approve": ("run_decided",),
    "veilscore node refuse": ("run_decided",),
    "veilscore node status": READS,
    "veilscore node doctor": READS,
    "veilscore node card": READS,
    "veilscore node hosted-card": OWN_FOLDER,
    "veilscore node model export": READS,
    "veilscore node model add": "adds a public manifest, whose requests are logged",
    "veilscore node form": READS,
    "veilscore node disclose": READS,
    "veilscore node asked-about": READS,
    "veilscore node erase": ("erased",),
    "veilscore node consent register": ("consent_registered",),
    "veilscore node consent withdraw": ("consent_withdrawn",),
    "veilscore node consent list": READS,
    "veilscore score": ("score_requested",),
    "veilscore hosted-score": ("score_requested",),
    "veilscore audit enroll": OWN_FOLDER,
    "veilscore audit join": OWN_FOLDER,
    "veilscore audit certificate": OWN_FOLDER,
    "veilscore audit verify": READS,
    "veilscore audit export": READS,
    "veilscore audit search": READS,
    "veilscore audit bundle": READS,
    "veilscore audit prove": READS,
    "veilscore audit recon": READS,
    "veilscore audit fsck": READS,
    "veilscore audit evidence": READS,
    "veilscore witness init": OWN_FOLDER,
    "veilscore witness run": "cosigns checkpoints, which the log keeps with them",
    "veilscore lab run": "is all of this on one machine",
    "veilscore demo": "is all of this on one machine",
}


@pytest.fixture
def actions(log: SampleLog) -> set[str]:
    """Return everything that somebody can do, by its name."""
    node = sample_node_app(SampleNode())
    coordinator = sample_coordinator_app(log, SampleCoordinator(log))
    hub = hub_pb2.DESCRIPTOR.services_by_name["HubService"]
    return {
        *(f"hub {method.name}" for method in hub.methods),
        *(f"node {each}" for each in _changing(node)),
        *(f"coordinator {each}" for each in _changing(coordinator)),
        *(f"veilscore {each}" for each in _commands(ROOT, click.Context(ROOT))),
    }


def _changing(app: FastAPI) -> Iterator[str]:
    for route in routes_of(app.routes):
        for method in sorted({*(route.methods or ())} - {"GET", "HEAD"}):
            yield f"{method} {route.path}"


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:  # an included router, as FastAPI keeps it
            included = getattr(route, "original_router", None)
            yield from routes_of(included.routes if included else ())


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {each}" for each in _commands(command, context))
        else:
            yield name


def test_every_action_is_listed_with_what_the_log_says_of_it(actions: set[str]) -> None:
    assert actions - LOGGED.keys() == set(), "say which events tell of it"
    assert LOGGED.keys() - actions == set(), "there is no such action any more"


def test_the_events_that_are_named_exist_and_all_are_named() -> None:
    kinds = {field.name for field in Event.DESCRIPTOR.oneofs_by_name["detail"].fields}
    named = {
        kind for told in LOGGED.values() if not isinstance(told, str) for kind in told
    }
    assert named == kinds
