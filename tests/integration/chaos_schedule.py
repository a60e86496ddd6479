"""What goes wrong in a federation, where and when: a pure function of a seed.

Twenty forms of faults; seed ``n`` is of form ``n`` modulo 20, so that any twenty seeds
in a row meet each. Those that begin with a multiple of 20 are a turn: together they
strike every step of a run, and scores twice. The party, the moment and how long it
lasts are drawn.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from veilscore.models.steps import steps
from veilscore.v1.training_pb2 import RosterEntry, RunContract

COORDINATOR: Final = "coordinator"
NODES: Final = ("bank", "regulator", "agriculture")
REQUESTER: Final = "bank"
SCORES: Final = "scores"  # a moment: while the requester asks for scores
_ROSTER: Final = [RosterEntry(party=party) for party in NODES]
STEPS: Final = tuple(steps(RunContract(roster=_ROSTER)))
CLOCK_SHIFT_S: Final = 600
COMPLETES_EVERY: Final = 4  # so often a new run is led to its end
_LATEST_S: Final = 0.8  # after a step began, which takes about that


class Kind(StrEnum):
    """What happens."""

    KILL = "kill"  # SIGKILL of one process
    STOP = "stop"  # SIGTERM, as an operator restarts a program
    PAUSE = "pause"  # SIGSTOP of all processes of a party
    CUT = "cut"  # a line breaks and is away for a while
    STALL = "stall"  # a line delivers nothing for a while, and tells nobody
    FILL = "fill"  # the disk below a party's state
    SKEW = "skew"  # a party's clock jumps by ten minutes
    EXPIRE = "expire"  # a TLS certificate, noticed when a line breaks


class Part(StrEnum):
    """Which part of a party it happens to."""

    PROCESS = "process"  # its own, or all of them
    SUPERLINK = "superlink"
    SUPERNODE = "supernode"
    WORKER = "worker"
    HUB = "hub"  # the line from a node to the hub
    FLOWER = "flower"  # the line from a SuperNode to the SuperLink


@dataclass(frozen=True, slots=True)
class _Form:
    kind: Kind
    at_node: bool
    part: Part = Part.PROCESS
    lasts_s: tuple[float, float] = (0.0, 0.0)
    loses: bool = False


# What lasts longer than a lost party may go unnamed, so that naming it can be seen.
_NOTICED_S: Final = (6.0, 8.0)
_FORMS: Final = (
    _Form(Kind.KILL, at_node=True, loses=True),
    _Form(Kind.KILL, at_node=True, part=Part.SUPERNODE),
    _Form(Kind.KILL, at_node=True, part=Part.WORKER),
    _Form(Kind.KILL, at_node=False, loses=True),
    _Form(Kind.KILL, at_node=False, part=Part.SUPERLINK),
    _Form(Kind.STOP, at_node=True, loses=True),
    _Form(Kind.STOP, at_node=False, loses=True),
    _Form(Kind.PAUSE, at_node=True, lasts_s=_NOTICED_S, loses=True),
    _Form(Kind.PAUSE, at_node=False, lasts_s=_NOTICED_S, loses=True),
    _Form(Kind.CUT, at_node=True, part=Part.HUB, lasts_s=(0.0, 0.8)),
    _Form(Kind.CUT, at_node=True, part=Part.HUB, lasts_s=_NOTICED_S, loses=True),
    _Form(Kind.CUT, at_node=True, part=Part.FLOWER, lasts_s=(0.0, 6.0)),
    _Form(Kind.STALL, at_node=True, part=Part.HUB, lasts_s=_NOTICED_S, loses=True),
    _Form(Kind.STALL, at_node=True, part=Part.FLOWER, lasts_s=(1.0, 6.0)),
    _Form(Kind.FILL, at_node=True, lasts_s=(2.0, 4.0)),
    _Form(Kind.FILL, at_node=False, lasts_s=(2.0, 4.0)),
    _Form(Kind.SKEW, at_node=True, lasts_s=(4.0, 8.0)),
    _Form(Kind.SKEW, at_node=False, lasts_s=(4.0, 8.0)),
    _Form(Kind.EXPIRE, at_node=True, part=Part.HUB, loses=True),
    _Form(Kind.EXPIRE, at_node=False, part=Part.HUB, loses=True),
)
FORMS: Final = len(_FORMS)
# A run lives by these; what goes wrong while nobody trains can only spoil scores.
_ALSO_IN_SCORES: Final = frozenset({Kind.KILL, Kind.STOP, Kind.PAUSE, Kind.CUT})
_SCORES_STRUCK: Final = 2  # times in a turn


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    ``party`` is whom it happens to: of a line the node at its end, also where the
    coordinator's certificate (``expired``) is the one that expires.
    """

    kind: Kind
    party: str
    part: Part
    lasts_s: float
    loses: bool  # the others must name the party within the promised time
    shift_s: int  # of a clock
    expired: str  # whose certificate

    def __str__(self) -> str:
        """Return it in a few words."""
        words = [self.kind, f"{self.party}'s {self.part}"]
        if self.lasts_s:
            words.append(f"for {self.lasts_s:.1f} s")
        if self.shift_s:
            words.append(f"by {self.shift_s:+} s")
        if self.expired and self.expired != self.party:
            words.append(f"(certificate of the {self.expired})")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A fault and its moment: ``delay_s`` after ``step`` began."""

    seed: int
    step: str
    delay_s: float
    fault: Fault

    @property
    def completes(self) -> bool:
        """Whether the run after a stopped one is led to its end.

        Another quarter of the forms each turn, so that each form's turn comes.
        """
        return (self.seed + self.seed // FORMS) % COMPLETES_EVERY == 0

    def __str__(self) -> str:
        """Return what a report calls it."""
        return f"{self.seed}: {self.fault}, {self.delay_s:.2f} s into {self.step}"


def schedule(seed: int, pause_s: float | None = None) -> Schedule:
    """Return the schedule of a seed; ``pause_s`` is how long every pause lasts."""
    draw = Random(seed)
    form = _FORMS[seed % FORMS]
    on_line = form.part in {Part.HUB, Part.FLOWER}
    party = draw.choice(NODES) if form.at_node or on_line else COORDINATOR
    lasts_s = draw.uniform(*form.lasts_s)
    if form.kind is Kind.PAUSE and pause_s is not None:
        lasts_s = pause_s
    expires = form.kind is Kind.EXPIRE
    return Schedule(
        seed=seed,
        step=_struck_steps(seed // FORMS)[seed % FORMS],
        delay_s=draw.uniform(0, _LATEST_S),
        fault=Fault(
            kind=form.kind,
            party=party,
            part=form.part,
            lasts_s=lasts_s,
            loses=form.loses,
            shift_s=draw.choice((-1, 1)) * CLOCK_SHIFT_S * (form.kind is Kind.SKEW),
            expired=(party if form.at_node else COORDINATOR) if expires else "",
        ),
    )


def _struck_steps(turn: int) -> list[str]:
    """Return what is struck in a turn, by form."""
    draw = Random(f"turn {turn}")
    may = [at for at, form in enumerate(_FORMS) if form.kind in _ALSO_IN_SCORES]
    in_scores = sorted(draw.sample(may, _SCORES_STRUCK))
    again = draw.choices(STEPS, k=FORMS - len(STEPS) - len(in_scores))
    struck = draw.sample([*STEPS, *again], FORMS - len(in_scores))
    for at in in_scores:
        struck.insert(at, SCORES)
    return struck
