"""A small federation of real processes, and everything that can be done to it.

The lab's own pieces enrol and start it, as in production. Between it and production
stand a wire in every line from a node to the coordinator, a clock of its own for each
party where there is a C compiler, and a small disk below its state where this user may
mount one.
"""

import signal
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.integration.chaos_schedule import COORDINATOR, Fault, Kind, Part
from tests.integration.often_reconciled import reconcile_often
from tests.integration.shifted_clock import ShiftedClock
from tests.integration.small_disk import SmallDisk
from tests.integration.test_lab_run import LAB
from tests.integration.wire import Wire
from veilscore.coordinator import config as coordinator_config
from veilscore.coordinator import setup as coordinator_setup
from veilscore.coordinator.client import OperatorClient
from veilscore.keys.enrolment import PartyCard
from veilscore.lab.enrolment import Federation, enrol
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.processes import PartyProcess, stop_all
from veilscore.lab.starting import start, wait_until_ready
from veilscore.lab.training import contract, joint_contract
from veilscore.node import config as node_config
from veilscore.node import setup as node_setup
from veilscore.node.local import LocalNode
from veilscore.runtime.settings import load

CERTIFICATE_S: Final = 730 * 86_400
RECON_S: Final = 15
_REAPED_S: Final = 5.0  # for a party that has ended to be taken note of
_CHILDREN: Final = {
    Part.SUPERLINK: "superlink_process",
    Part.SUPERNODE: "supernode_process",
    Part.WORKER: "worker_process",
}


@dataclass
class ChaosLab:
    """A running federation; a party is named as in its registry."""

    state: Path
    federation: Federation
    contract: str
    wires: Mapping[tuple[str, Part], Wire]
    clocks: Mapping[str, ShiftedClock] = field(default_factory=dict[str, ShiftedClock])
    disks: Mapping[str, SmallDisk] = field(default_factory=dict[str, SmallDisk])
    processes: dict[str, PartyProcess] = field(default_factory=dict[str, PartyProcess])
    seen: set[psutil.Process] = field(default_factory=set[psutil.Process])
    """All processes that there ever were at a time somebody looked."""

    @property
    def parties(self) -> tuple[str, ...]:
        """The coordinator and all nodes."""
        return (COORDINATOR, *self.federation.members)

    def folder(self, party: str) -> Path:
        """A party's folder."""
        return self.state / party

    def log(self, party: str) -> Path:
        """What a party's process has written."""
        return self.state / f"{party}.log"

    def operator(self) -> OperatorClient:
        """Ask as the coordinator's operator."""
        return OperatorClient(self.federation.config)

    def node(self, party: str) -> LocalNode:
        """Ask as the operator of a node."""
        return LocalNode(self.federation.members[party].config)

    # -- processes -----------------------------------------------------------------

    def family(self, party: str) -> list[psutil.Process]:
        """Return a party's process and its descendants; nothing if it has ended."""
        found: list[psutil.Process] = []
        for pid in self.processes[party].family():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        self.seen.update(found)
        return found

    def part(self, party: str, part: Part) -> psutil.Process | None:
        """Return the process that is this part of a party, if it runs."""
        family = self.family(party)
        if part is Part.PROCESS:
            return family[0] if family else None
        for process in family[1:]:
            with suppress(psutil.Error):
                if _CHILDREN[part] in " ".join(process.cmdline()):
                    return process
        return None

    def start(self, *parties: str) -> None:
        """Start parties that are not running and wait until they are ready."""
        for party in parties:
            if before := self.processes.get(party):
                before.wait(time.monotonic() + _REAPED_S)
            clock = self.clocks.get(party)
            with clock.worn() if clock else nullcontext():
                self.processes[party] = start(self.federation, self.state, party)
        self.wait_until_ready(parties)

    def wait_until_ready(self, parties: Iterable[str]) -> None:
        """Wait until these parties are ready; all parties must be running."""
        wait_until_ready(self.federation, parties, self.processes)

    def restart(self, party: str) -> None:
        """Stop a party as its operator does and start it again."""
        stop_all([self.processes[party]])
        self.start(party)

    # -- certificates --------------------------------------------------------------

    def certify(self, party: str, lives_s: float = CERTIFICATE_S) -> None:
        """Issue a party another certificate, in force from its next start."""
        now = time.time() - CERTIFICATE_S + lives_s
        settings = coordinator_config.read(self.federation.config)
        if party == COORDINATOR:
            coordinator_setup.renew(settings, now)
            return
        # The party dials its wires, as one behind a translating router does.
        behind = settings.model_copy(
            update={
                dialled: getattr(settings, dialled).model_copy(
                    update={"port": self.wires[party, Part(dialled)].port}
                )
                for dialled in (Part.HUB, Part.FLOWER)
            }
        )
        card = (self.folder(party) / "card.json").read_bytes()
        key = PartyCard.load(card).key
        admission = coordinator_setup.admit(behind, card, key.fingerprint, now)
        node_setup.join(
            node_config.read(self.federation.members[party].config),
            admission.kit,
            bytes.fromhex(self.federation.fingerprint),
        )

    # -- faults --------------------------------------------------------------------

    def strike(self, fault: Fault) -> None:
        """Let the fault happen."""
        for party in self.parties:
            self.family(party)  # so that what is orphaned has been seen
        match fault.kind:
            case Kind.KILL | Kind.STOP:
                stop = fault.kind is Kind.STOP
                process = self.part(fault.party, fault.part)
                assert process, f"{fault.party} has no {fault.part}"
                process.send_signal(signal.SIGTERM if stop else signal.SIGKILL)
            case Kind.PAUSE:
                for process in self.family(fault.party):
                    process.suspend()
            case Kind.CUT:
                self.wires[fault.party, fault.part].sever()
            case Kind.EXPIRE:  # with a certificate that is valid nobody is lost
                self.wires[fault.party, fault.part].cut()
            case Kind.STALL:
                self.wires[fault.party, fault.part].stall()
            case Kind.FILL:
                self.disks[fault.party].fill()
            case Kind.SKEW:
                self.clocks[fault.party].shift(fault.shift_s)

    def lift(self, fault: Fault) -> None:
        """Let the fault be over, as far as that is not the parties' own business."""
        match fault.kind:
            case Kind.KILL | Kind.STOP:
                if fault.part is Part.PROCESS:
                    self.start(fault.party)
            case Kind.PAUSE:
                for process in self.family(fault.party):
                    process.resume()
            case Kind.CUT:
                self.wires[fault.party, fault.part].restore()
            case Kind.EXPIRE:
                self.certify(fault.expired)
                self.restart(fault.expired)
            case Kind.STALL:
                self.wires[fault.party, fault.part].flow()
            case Kind.FILL:
                self.disks[fault.party].free()
            case Kind.SKEW:
                self.clocks[fault.party].shift(0)

    def close(self) -> None:
        """Stop everybody, whatever state they are in."""
        for party in self.processes:
            for process in self.family(party):
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        stop_all(self.processes.values())
        for wire in self.wires.values():
            wire.close()
        for disk in self.disks.values():
            disk.close()


@contextmanager
def chaos_lab(
    state: Path, *, clocks: bool, disks: bool, text: str = LAB
) -> Generator[ChaosLab]:
    """Enrol and start a federation and witnesses of its log; stop all at the end.

    ``text`` is the lab's file, whose first run is the one that is struck.
    """
    file = state / "lab.toml"
    file.write_text(text, encoding="utf-8")
    lab = load(file, LabFile)
    holdings = dict(make_holdings(lab, None, state))
    federation = enrol(lab, holdings, state, _ignore)
    settings = coordinator_config.read(federation.config)
    ports = {Part.HUB: settings.hub.port, Part.FLOWER: settings.flower.port}
    running = ChaosLab(
        state,
        federation,
        _contract(lab, holdings),
        {
            (party, part): Wire(port)
            for party in federation.members
            for part, port in ports.items()
        },
    )
    try:
        for party, member in federation.members.items():
            running.certify(party)
            reconcile_often(member.config, RECON_S)
        if disks:
            running.disks = {
                party: SmallDisk(running.folder(party) / "state")
                for party in running.parties
            }
        if clocks:
            running.clocks = {
                party: ShiftedClock(state, party) for party in running.parties
            }
        running.start(*federation.witnesses, COORDINATOR)
        running.start(*federation.members)
        yield running
    finally:
        running.close()


def _contract(lab: LabFile, holdings: Mapping[str, Holding]) -> str:
    """Return the contract of the lab's first run."""
    run = lab.run[0]
    if run.is_horizontal:
        return joint_contract(lab, run, holdings)
    label_holder = next(name for name, each in holdings.items() if each.label)
    return contract(lab, run, label_holder)


def _ignore(_: str) -> None:
    """Take what ``enrol`` says."""


def is_alive(process: psutil.Process) -> bool:
    """Say whether a process runs, or is paused."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
