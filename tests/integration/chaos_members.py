"""What goes wrong in a federation of members with the same columns: pure functions.

Each member has the loans of a region of an invented economy, and labels. Seed ``n`` is
of form ``n`` modulo 15: one of three faults in one of five steps, from the first to the
last. The party and the moment are drawn.
"""

from random import Random
from typing import Final

from tests.integration.chaos_schedule import (
    COORDINATOR,
    Fault,
    Kind,
    Part,
    Schedule,
)
from veilscore.lab.population import REGIONS
from veilscore.lab.toml_text import to_toml

TOLERANT: Final = 6  # so many members go on without one
ROUNDS: Final = 4
BEFORE_MODELS: Final = ("join", "bins")  # in which any loss ends a run
STEPS: Final = (*BEFORE_MODELS, "round-2", "evaluate", "register")
_STRUCK: Final = (
    (True, Part.PROCESS),
    (True, Part.SUPERNODE),
    (False, Part.PROCESS),
)
FORMS: Final = len(_STRUCK) * len(STEPS)
_LATEST_S: Final = 0.5  # after a step began, which takes about that
_ROWS: Final = 400


def members(count: int) -> tuple[str, ...]:
    """Return the names of so many members."""
    return tuple(f"bank-{number + 1}" for number in range(count))


def lab_of(count: int, rows: int = _ROWS, rounds: int = ROUNDS) -> str:
    """Return the lab file of so many members, the first of which asks for scores.

    ``rows`` are the entities of one member, of which it may not know all.
    """
    names = members(count)
    places = {
        name: [*range(1 + at, REGIONS + 1, count)] for at, name in enumerate(names)
    }
    parties: list[dict[str, object]] = [
        {
            "name": name,
            "holder": "bank",
            "region": name,
            "roles": ["data_holder", "requester"][: 2 if name == names[0] else 1],
            "training": {
                "approve_horizontal": "automatic",
                "min_rows": 20,
                "runs_a_day": 1000,
            },
            "scoring": {
                "requesters": [names[0]],
                "purposes": ["pre_loan"],
                "allow_two_party": True,
            },
        }
        for name in names
    ]
    terms = {"max_rows": rows, "horizontal": {"rounds": rounds}}
    return to_toml(
        {
            "name": "members",
            "key_bits": 2048,
            "economy": {"entities": rows * count, "seed": 3, "regions": places},
            "party": parties,
            "run": [{"name": "joint", "contract": terms}],
            "score": {"requester": names[0], "holder": names[1], "entities": 10},
        }
    )


def member_schedule(seed: int, count: int) -> Schedule:
    """Return the schedule of a seed among so many members."""
    draw = Random(f"{count} members, {seed}")
    at_node, part = _STRUCK[seed % FORMS // len(STEPS)]
    return Schedule(
        seed=seed,
        step=STEPS[seed % len(STEPS)],
        delay_s=draw.uniform(0, _LATEST_S),
        fault=Fault(
            kind=Kind.KILL,
            party=draw.choice(members(count)) if at_node else COORDINATOR,
            part=part,
            lasts_s=0.0,
            loses=part is Part.PROCESS,
            shift_s=0,
            expired="",
        ),
    )
