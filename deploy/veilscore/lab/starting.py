"""Start the parties of a lab and wait until all of them can work.

Witnesses and the coordinator come first, as in production: nodes dial out to it. Its
SuperLink is still starting when they do.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import httpx

from veilscore.lab.enrolment import Federation
from veilscore.lab.errors import LabError
from veilscore.lab.processes import PartyProcess

COORDINATOR: Final = "coordinator"

_READY_S = 120.0
_LOOK_S = 0.1
_ANSWER_S = 5.0


def start_all(
    federation: Federation, state: Path, processes: dict[str, PartyProcess]
) -> None:
    """Start everybody; each process is put into ``processes`` as it is started.

    Raises LabError if a party ends or is not ready in time.
    """
    for witness in federation.witnesses:
        processes[witness] = start(federation, state, witness)
    processes[COORDINATOR] = start(federation, state, COORDINATOR)
    _wait(federation, list(processes), processes, _answers)
    for party in federation.members:
        processes[party] = start(federation, state, party)
    wait_until_ready(federation, [COORDINATOR, *federation.members], processes)


def start(federation: Federation, state: Path, party: str) -> PartyProcess:
    """Start one party; what it writes is appended to its log file in ``state``."""
    if party == COORDINATOR:
        words = ("coordinator", "run", "--config", federation.config)
    elif party in federation.witnesses:
        words = ("witness", "run", "--config", federation.witnesses[party].config)
    else:
        words = ("node", "run", "--config", federation.members[party].config)
    return PartyProcess(party, state / f"{party}.log", *words)


def wait_until_ready(
    federation: Federation,
    parties: Iterable[str],
    processes: Mapping[str, PartyProcess],
) -> None:
    """Wait until these parties say that they are ready.

    Raises LabError if any of the ``processes`` ends, or one is not ready in time.
    """
    _wait(federation, parties, processes, _is_ready)


def _wait(
    federation: Federation,
    parties: Iterable[str],
    processes: Mapping[str, PartyProcess],
    enough: Callable[[httpx.Response], bool],
) -> None:
    webs = {name: member.web for name, member in federation.members.items()}
    webs |= {name: witness.web for name, witness in federation.witnesses.items()}
    webs[COORDINATOR] = federation.web
    waiting, began = {party: webs[party] for party in parties}, time.monotonic()
    with httpx.Client(timeout=_ANSWER_S, trust_env=False) as client:
        while True:
            for process in processes.values():
                process.check()
            why = {
                party: _why_not(client, web, enough) for party, web in waiting.items()
            }
            waiting = {party: web for party, web in waiting.items() if why[party]}
            if not waiting:
                return
            if time.monotonic() - began > _READY_S:
                party = next(iter(waiting))
                raise LabError(
                    f"is not ready after {_READY_S:.0f} s: {why[party]}",
                    party=party,
                    remedy="Look into its log.",
                )
            time.sleep(_LOOK_S)


def _answers(answer: httpx.Response) -> bool:
    del answer  # that there is one is enough
    return True


def _is_ready(answer: httpx.Response) -> bool:
    return answer.is_success


def _why_not(
    client: httpx.Client, web: str, enough: Callable[[httpx.Response], bool]
) -> str:
    try:
        answer = client.get(f"{web}/readyz")
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    return "" if enough(answer) else answer.text
