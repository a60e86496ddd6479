"""Play a lab from its file to its outcome.

Every party is made, enrolled, started, used and stopped as in production: by the
``veilscore`` command, in processes of its own. The lab stands where the operators of
all institutions stand, so it may look at what no single one sees and compare.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from veilscore.lab.comparison import export_card, score_and_compare
from veilscore.lab.enrolment import Federation, enrol
from veilscore.lab.errors import CommandFailedError, LabError
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile, RunSettings
from veilscore.lab.outcome import (
    HolderOutcome,
    LabOutcome,
    LogOutcome,
    Parity,
    RunOutcome,
    ScoreOutcome,
)
from veilscore.lab.parity import compare_with_pooled
from veilscore.lab.plain import PlainTable, read_table
from veilscore.lab.processes import PartyProcess, stop_all, veilscore
from veilscore.lab.training import contract, quality, train
from veilscore.lab.usage import cpu_seconds, memory_mib
from veilscore.models.scorecard import Card

COORDINATOR: Final = "coordinator"

_ONLINE_S = 120.0
_LOOK_S = 0.1
_ANSWER_S = 5.0
_IDLE_S = 10.0
_AUDIT_S = 300.0

Watch = Callable[[str], None]


def run_lab(
    lab: LabFile, *, data: Path | None, state: Path, watch: Watch
) -> LabOutcome:
    """Play the lab in the empty folder ``state``; ``watch`` hears what is going on.

    Raises a Fault if a party or a command fails; whatever happens, no process is left.
    """
    began = time.monotonic()
    watch("writing the parties' data")
    holdings = dict(make_holdings(lab, data, state))
    federation = enrol(lab, holdings, state, watch)
    watch("starting all parties")
    processes = _start(federation, state)
    try:
        online_seconds = _wait_until_online(federation, processes)
        stage = _Stage(lab, federation, processes, watch)
        findings = stage.play()
    finally:
        watch("stopping all parties")
        killed = stop_all(processes.values())
    return LabOutcome(
        name=lab.name,
        key_bits=lab.key_bits,
        holders=findings.holders,
        online_seconds=online_seconds,
        runs=findings.runs,
        scores=findings.scores,
        log=findings.log,
        idle_cores=findings.idle_cores,
        killed=killed,
        seconds=time.monotonic() - began,
    )


def _start(federation: Federation, state: Path) -> dict[str, PartyProcess]:
    return {
        COORDINATOR: PartyProcess(
            COORDINATOR,
            state / f"{COORDINATOR}.log",
            *("coordinator", "run", "--config", federation.config),
        ),
        **{
            member.name: PartyProcess(
                member.name,
                state / f"{member.name}.log",
                *("node", "run", "--config", member.config),
            )
            for member in federation.members.values()
        },
    }


def _wait_until_online(
    federation: Federation, processes: Mapping[str, PartyProcess]
) -> float:
    """Return after how many seconds all parties were ready for work."""
    began = time.monotonic()
    waiting = {COORDINATOR: federation.web} | {
        member.name: member.web for member in federation.members.values()
    }
    while waiting:
        for process in processes.values():
            process.check()
        why = {party: _why_not_ready(web) for party, web in waiting.items()}
        waiting = {party: web for party, web in waiting.items() if why[party]}
        if time.monotonic() - began > _ONLINE_S:
            party = next(iter(waiting))
            raise LabError(
                f"is not ready after {_ONLINE_S:.0f} s: {why[party]}",
                party=party,
                remedy="Keep the lab's files with --state DIR and look into its logs.",
            )
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def _why_not_ready(web: str) -> str:
    try:
        answer = httpx.get(f"{web}/readyz", timeout=_ANSWER_S, trust_env=False)
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    return "" if answer.is_success else answer.text


@dataclass(frozen=True, slots=True)
class _Findings:
    holders: dict[str, HolderOutcome]
    runs: tuple[RunOutcome, ...]
    scores: ScoreOutcome
    log: LogOutcome
    idle_cores: float


@dataclass(frozen=True, slots=True)
class _Stage:
    """A federation with all of its parties online."""

    lab: LabFile
    federation: Federation
    processes: Mapping[str, PartyProcess]
    watch: Watch

    def play(self) -> _Findings:
        """Do everything that the lab file asks for, and look around."""
        members = self.federation.members
        holdings = {name: member.holding for name, member in members.items()}
        tables = {name: read_table(holding) for name, holding in holdings.items()}
        runs = tuple(self._run(run, holdings, tables) for run in self.lab.run)
        model = runs[-1].model
        wanted = self.lab.score
        self.watch(f"asking for {wanted.entities:,} joint scores")
        scores = score_and_compare(
            members[wanted.requester],
            model,
            wanted.entities,
            self._cards(model),
            tables,
        )
        idle_cores = self._idle_cores()
        holders = {
            name: _look_at(holding, tables[name], self.processes[name])
            for name, holding in holdings.items()
        }
        return _Findings(holders, runs, scores, self._audit(), idle_cores)

    def _run(
        self,
        run: RunSettings,
        holdings: Mapping[str, Holding],
        tables: Mapping[str, PlainTable],
    ) -> RunOutcome:
        label_holder = next(name for name, each in holdings.items() if each.label)
        file = self.federation.folder / f"{run.name}.contract.toml"
        file.write_text(contract(self.lab, run, label_holder), encoding="utf-8")
        trained = train(
            self.federation, file, lambda step: self.watch(f"run {run.name}: {step}")
        )
        parity: Parity | None = None
        skipped = ""
        if run.contract.get("exact") and holdings[label_holder].holdout:
            self.watch(f"run {run.name}: comparing with pooled data")
            try:
                parity = compare_with_pooled(
                    self._cards(trained.model), tables, label_holder
                )
            except ImportError:
                skipped = "scikit-learn is not installed"
        return RunOutcome(
            name=run.name,
            run=trained.run,
            model=trained.model,
            seconds=trained.seconds,
            steps=trained.steps,
            quality=quality(self.federation, label_holder, trained.model),
            parity=parity,
            parity_skipped=skipped,
        )

    def _cards(self, model: str) -> dict[str, Card]:
        members = self.federation.members.values()
        return {member.name: export_card(member, model) for member in members}

    def _idle_cores(self) -> float:
        """Return the processor time per second of everybody, doing nothing."""
        self.watch(f"watching {_IDLE_S:.0f} idle seconds")
        everybody = [
            process for party in self.processes.values() for process in party.family()
        ]
        before, began = cpu_seconds(everybody), time.monotonic()
        time.sleep(_IDLE_S)
        return (cpu_seconds(everybody) - before) / (time.monotonic() - began)

    def _audit(self) -> LogOutcome:
        """Export the log and verify the export, as an auditor would."""
        self.watch("exporting and verifying the audit log")
        out = self.federation.folder / "audit.tar"
        pinned = ("--fingerprint", self.federation.fingerprint)
        veilscore(
            *("audit", "export", "--from", self.federation.web, "--out", out, *pinned),
            timeout_s=_AUDIT_S,
        )
        try:
            said = veilscore(
                "audit", "verify", out, *pinned, "--json", timeout_s=_AUDIT_S
            )
        except CommandFailedError as error:
            return LogOutcome(0, 0, out.stat().st_size, False, {}, (error.what,))
        report = json.loads(said)
        return LogOutcome(
            entries=report["size"],
            files=report["files"],
            export_bytes=out.stat().st_size,
            verified=report["verified"],
            events=report["actors"],
            remarks=tuple(report["remarks"]),
        )


def _look_at(
    holding: Holding, table: PlainTable, process: PartyProcess
) -> HolderOutcome:
    family: Sequence[int] = process.family()
    return HolderOutcome(
        entities=len(table.written),
        rejected=table.rejected,
        columns=len(holding.features),
        memory_mib=memory_mib(family),
        processes=len(family),
    )
