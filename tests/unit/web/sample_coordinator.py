"""A coordinator with a real log of four real parties, and runs kept in a list."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import replace

from tests.unit.tlog.sample_log import NOW_MS, SampleLog
from tests.unit.web.sample_node import RUN, contract, digest, horizontal_contract
from veilscore.coordinator.access import Access
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.web.app import coordinator_app
from veilscore.coordinator.web.face import (
    CoordinatorStatus,
    Decision,
    NodeView,
    RunKind,
    RunParty,
    RunPhase,
    RunView,
)
from veilscore.coordinator.web.readers import Readers
from veilscore.keys.tlog.events import Detail
from veilscore.runtime.web.shell import WebApp
from veilscore.runtime.web.tokens import AccessToken
from veilscore.v1.audit_pb2 import (
    ConsentRegistered,
    ConsentWithdrawn,
    Erased,
    Incident,
    KeyPublished,
    LogReconciled,
    ModelRegistered,
    PrivacySpent,
    RegistryPublished,
    RunClosed,
    RunDecided,
    RunOpened,
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
    Started,
    StepDone,
    SumMade,
    TypeCount,
)
from veilscore.v1.score_pb2 import CardEntry, ModelManifest

TOKEN = "operator-token-" + "y" * 32
QUERY = digest("query").hex()


def fill_log(log: SampleLog) -> None:
    """Log a registration, one whole run and one score query."""
    nodes = ("bank", "bureau", "market")
    body = contract().SerializeToString(deterministic=True)
    hashed = hashlib.sha256(body).digest()
    manifest = ModelManifest(
        run=RUN,
        contract=hashed,
        cards=[
            CardEntry(party=name, card=digest(name), max_abs_points=400)
            for name in nodes
        ],
        base_points=600,
        base_odds=20,
        points_to_double_odds=40,
        granularity=1,
    ).SerializeToString(deterministic=True)
    model = hashlib.sha256(manifest).digest()
    log.announce()
    clock = NOW_MS

    def done(actor: str, detail: Detail, correlation: str) -> None:
        nonlocal clock
        clock += 1_370
        event = log.parties.event(
            actor,
            log.store.head(actor),
            detail,
            correlation=correlation,
            time_ms=clock,
        )
        log.service.append([event.leaf])

    done("hub", RegistryPublished(version=1, digest=digest("registry")), "")
    for name in nodes:
        started = Started(
            version="0.1.0",
            certificate=digest(name + "certificate"),
            rules=digest(name + "rules"),
            log_policy=digest("log policy"),
        )
        done(name, started, "")
        done(
            name,
            KeyPublished(purpose="score", digest=digest(name), paillier_bits=3072),
            "",
        )
    done("hub", RunOpened(contract=hashed, contract_body=body), RUN)
    for name in nodes:
        done(name, RunDecided(contract=hashed, approved=True), RUN)
    for step in ("rows", "counts", "moments", "solve", "register"):
        for name in nodes:
            sent = StepDone(
                step=step,
                sent=digest(step + name),
                bytes_bucket=1 << 23,
                rows_bucket=27_310,
                flower_message="9f" * 8,
            )
            done(name, sent, RUN)
    for name in nodes:
        done(name, ModelRegistered(model=model, manifest=manifest), RUN)
    done("hub", RunClosed(completed=True), RUN)
    joint = horizontal_contract(3)
    body = joint.SerializeToString(deterministic=True)
    hashed = hashlib.sha256(body).digest()
    done("hub", RunOpened(contract=hashed, contract_body=body), joint.run)
    for name in nodes:
        done(name, PrivacySpent(epsilon=2.97, delta=1e-5), joint.run)
    total = digest("total")
    made = SumMade(round=1, attempt=1, members=nodes, total=total)
    done("hub", made, joint.run)
    summed = StepDone(step="bins", sent=digest("bins"), bytes_bucket=1 << 16)
    summed.sums = hashlib.sha256(total).digest()
    done("bank", summed, joint.run)
    given = ConsentRegistered(
        consent=digest("consent"),
        subject=digest("subject"),
        purposes=["pre_loan"],
        until=1_800_000_000,
        document=digest("document"),
    )
    done("bank", given, "")
    asked = ScoreRequested(
        terms=digest("terms"),
        model=model,
        purpose="pre_loan",
        holders=["bureau", "market"],
        entities_bucket=4,
        entities=digest("entities"),
    )
    done("bank", asked, QUERY)
    for name in ("bureau", "market"):
        done(name, ScoreDecided(allowed=True, model=model), QUERY)
        answer = ScoreAnswered(
            commitment=digest(name + "answer"), ciphertexts=1, paillier_bits=3072
        )
        done(name, answer, QUERY)
    withdrawn = ConsentWithdrawn(
        registered=7, consent=digest("again"), subject=digest("the same subject")
    )
    done("bank", withdrawn, "")
    done("bank", Erased(reason="entity", openings_bucket=2), "")
    compared = LogReconciled(
        own_size=9,
        own_root=digest("own root"),
        first_seq=1,
        last_seq=9,
        events=[TypeCount(type="started", count=1)],
        log_size=log.store.size,
        log_root=log.store.root(log.store.size),
        findings=[TypeCount(type="fork", count=1)],
    )
    done("bureau", compared, "")
    done("bureau", Incident(kind="fork", evidence=digest("evidence")), "")


class SampleCoordinator:
    def __init__(self, log: SampleLog) -> None:
        self._log = log
        self.reset()

    def reset(self) -> None:
        self.reasons: tuple[str, ...] = ()
        self.fault: Exception | None = None
        self._runs: dict[str, RunView] = {}

    def status(self) -> CoordinatorStatus:
        nodes = tuple(
            NodeView(name, attached=name != "market", since_ms=NOW_MS)
            for name in ("bank", "bureau", "market")
        )
        return CoordinatorStatus("hub", "0.1.0", NOW_MS, nodes, self.reasons)

    def registry_file(self) -> bytes:
        return self._log.parties.registry_file

    def runs(self) -> Sequence[RunView]:
        return list(reversed(self._runs.values()))

    def propose(self, contract_toml: str) -> str:
        if self.fault:
            raise self.fault
        try:
            tables = tomllib.loads(contract_toml)
        except tomllib.TOMLDecodeError as error:
            raise RunError("the contract is not TOML", place="line 1") from error
        run = f"{len(self._runs):032x}"
        self._runs[run] = RunView(
            run=run,
            contract=digest(contract_toml).hex(),
            phase=RunPhase.PROPOSED,
            kind=RunKind.VERTICAL,
            label_holder=str(tables["label_holder"]),
            parties=(RunParty("bank", Decision.WAITING),),
            step="",
            proposed_ms=NOW_MS,
        )
        return run

    def run(self, run_id: str) -> RunView:
        return self._runs[run_id]

    def stop(self, run_id: str) -> None:
        self._runs[run_id] = replace(
            self._runs[run_id], phase=RunPhase.STOPPED, reason="stopped by the operator"
        )


def sample_coordinator_app(
    log: SampleLog, face: SampleCoordinator, access: Access | None = None
) -> WebApp:
    readers = Readers(AccessToken(TOKEN), access)
    return coordinator_app(log.service, face, readers, version="0.1.0")
