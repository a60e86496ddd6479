"""Play a lab from its file to its outcome.

Every party is made, enrolled, started, used and stopped as in production: by the
``veilscore`` command, in processes of its own. The lab stands where the operators of
all institutions stand, so it may look at what no single one sees and compare.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.search import entries_of
from veilscore.lab.comparison import export_card, score_and_compare
from veilscore.lab.enrolment import LOG_POLICY, Federation, Member, enrol
from veilscore.lab.errors import CommandFailedError, NotComparedError
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.joint_outcome import JointRunOutcome
from veilscore.lab.lab_file import LabFile, RunSettings
from veilscore.lab.leaf_scan import LeafScanner
from veilscore.lab.outcome import (
    EvidenceOutcome,
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
from veilscore.lab.starting import start_all
from veilscore.lab.training import Trained, contract, joint_contract, quality, train
from veilscore.lab.usage import cpu_seconds, memory_mib
from veilscore.models.scorecard import Card

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
    processes: dict[str, PartyProcess] = {}
    try:
        watch("starting all parties")
        starting = time.monotonic()
        start_all(federation, state, processes)
        online_seconds = time.monotonic() - starting
        findings = _Stage(lab, federation, processes, watch).play()
    finally:
        watch("stopping all parties")
        killed = stop_all(processes.values())
    return LabOutcome(
        name=lab.name,
        key_bits=lab.key_bits,
        holders=findings.holders,
        entities=findings.entities,
        shared_entities=findings.shared_entities,
        online_seconds=online_seconds,
        runs=findings.runs,
        scores=findings.scores,
        log=findings.log,
        idle_cores=findings.idle_cores,
        killed=killed,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True)
class _Findings:
    holders: dict[str, HolderOutcome]
    entities: int
    shared_entities: int
    runs: tuple[RunOutcome | JointRunOutcome, ...]
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
        members = self.federation.members.items()
        holdings = {name: member.holding for name, member in members}
        tables = {name: read_table(holding) for name, holding in holdings.items()}
        runs = tuple(
            self._joint_run(run, holdings, tables)
            if run.is_horizontal
            else self._run(run, holdings, tables)
            for run in self.lab.run
        )
        scores = self._score(runs[-1].model, tables)
        idle_cores = self._idle_cores()
        holders = {
            name: _look_at(holding, tables[name], self.processes[name])
            for name, holding in holdings.items()
        }
        known = [table.rows.keys() for table in tables.values()]
        return _Findings(
            holders,
            entities=len(set[str]().union(*known)),
            shared_entities=len(set(known[0]).intersection(*known)),
            runs=runs,
            scores=scores,
            log=self._audit(tables),
            idle_cores=idle_cores,
        )

    def _run(
        self,
        run: RunSettings,
        holdings: Mapping[str, Holding],
        tables: Mapping[str, PlainTable],
    ) -> RunOutcome:
        parties = self.lab.parties_of(run)
        label_holder = next(name for name in parties if holdings[name].label)
        trained = self._train(run, contract(self.lab, run, label_holder))
        parity: Parity | None = None
        skipped = ""
        if self.lab.data and holdings[label_holder].holdout:
            self.watch(f"run {run.name}: comparing with pooled data")
            try:
                cards = self._cards(trained.model, parties)
                parity = compare_with_pooled(cards, tables, label_holder)
            except NotComparedError as error:
                skipped = str(error)
        return RunOutcome(
            name=run.name,
            run=trained.run,
            model=trained.model,
            seconds=trained.seconds,
            steps=trained.steps,
            expected=trained.expected,
            quality=quality(self.federation, label_holder, trained.model),
            exact=bool(run.contract.get("exact")),
            parity=parity,
            parity_skipped=skipped,
        )

    def _joint_run(
        self,
        run: RunSettings,
        holdings: Mapping[str, Holding],
        tables: Mapping[str, PlainTable],
    ) -> JointRunOutcome:
        # It loads torch, which a vertical run does not need.
        from veilscore.lab.joint_parity import compare_members  # noqa: PLC0415

        trained = self._train(run, joint_contract(self.lab, run, holdings))
        self.watch(f"run {run.name}: comparing with pooled data")
        parties = self.lab.parties_of(run)
        members, joint = compare_members(
            self._cards(trained.model, parties),
            tables,
            {p: quality(self.federation, p, trained.model).auc for p in parties},
        )
        return JointRunOutcome(
            name=run.name,
            run=trained.run,
            model=trained.model,
            seconds=trained.seconds,
            steps=trained.steps,
            expected=trained.expected,
            private="privacy" in run.horizontal,
            members=members,
            joint=joint,
        )

    def _train(self, run: RunSettings, text: str) -> Trained:
        file = self.federation.folder / f"{run.name}.contract.toml"
        file.write_text(text, encoding="utf-8")
        return train(
            self.federation, file, lambda step: self.watch(f"run {run.name}: {step}")
        )

    def _score(self, model: str, tables: Mapping[str, PlainTable]) -> ScoreOutcome:
        """Let the requester ask for the last model's scores, and compare them."""
        run, wanted = self.lab.run[-1], self.lab.score
        holder = wanted.holder if run.is_horizontal else None
        asked = tables[holder or wanted.requester].written[: wanted.entities]
        kind = f"scores of {holder}" if holder else "joint scores"
        self.watch(f"asking for {len(asked):,} {kind}")
        return score_and_compare(
            self.federation.members[wanted.requester],
            model,
            asked,
            self._cards(model, [holder] if holder else self.lab.parties_of(run)),
            tables,
            holder or "",
        )

    def _cards(self, model: str, parties: Iterable[str]) -> dict[str, Card]:
        members = self.federation.members
        return {name: export_card(members[name], model) for name in parties}

    def _idle_cores(self) -> float:
        """Return the processor time per second of everybody, doing nothing."""
        self.watch(f"watching {_IDLE_S:.0f} idle seconds")
        everybody = [
            process for party in self.processes.values() for process in party.family()
        ]
        before, began = cpu_seconds(everybody), time.monotonic()
        time.sleep(_IDLE_S)
        return (cpu_seconds(everybody) - before) / (time.monotonic() - began)

    def _audit(self, tables: Mapping[str, PlainTable]) -> LogOutcome:
        """Export the log and verify the export, as an auditor would; search it."""
        self.watch("exporting and verifying the audit log")
        out = self.federation.folder / "audit.tar"
        pinned = ("--fingerprint", self.federation.fingerprint)
        trust = (*pinned, "--policy", self.federation.log_policy)
        fetch = ("audit", "export", "--from", self.federation.web, "--out", out)
        verify = ("audit", "verify", out, "--json")
        try:
            veilscore(*fetch, *trust, timeout_s=_AUDIT_S)
            report = json.loads(veilscore(*verify, *trust, timeout_s=_AUDIT_S))
            evidence = _take_evidence(out, trust)
            reconciled = tuple(
                _reconcile(out, member) for member in self.federation.members.values()
            )
        except CommandFailedError as error:
            return LogOutcome(remarks=(error.what,))
        self.watch("searching the audit log for what must not be there")
        scanner = LeafScanner(tables)
        with open_export(out) as files:
            leaks = scanner.scan([each.opened.leaf for each in entries_of(files)])
        return LogOutcome(
            entries=report["size"],
            files=report["files"],
            export_bytes=out.stat().st_size,
            verified=report["verified"],
            events=report["actors"],
            witnesses=tuple(report["witnesses"]),
            evidence=evidence,
            reconciled=reconciled,
            sought=scanner.sought,
            leaks=tuple(map(str, leaks)),
            remarks=tuple(report["remarks"]),
        )


def _take_evidence(export: Path, trust: Sequence[str | Path]) -> EvidenceOutcome:
    """Take the evidence of the last score request, and verify it by itself."""
    search = ("audit", "search", export, "--kind", "score_requested", "--json")
    request = json.loads(veilscore(*search, timeout_s=_AUDIT_S))[-1]["correlation"]
    out = export.with_name("evidence.json")
    veilscore("audit", "bundle", export, request, "--out", out, *trust)
    found = json.loads(veilscore("audit", "verify", out, *trust, "--json"))
    facts = tuple((what, value) for what, value in found["facts"])
    return EvidenceOutcome(request, out.stat().st_size, facts)


def _reconcile(export: Path, member: Member) -> str:
    """Compare a party's own events with the log, as its operator would."""
    events, policy = member.folder / "state/events.db", member.folder / LOG_POLICY
    veilscore(
        *("audit", "recon", events, export, "--policy", policy),
        party=member.name,
        timeout_s=_AUDIT_S,
    )
    return member.name


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
