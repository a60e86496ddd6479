"""A federation whose ids and features are canaries, run as in production and recorded.

Every party is made, enrolled, started and used by the command, in processes of its own,
as the lab does it; only the coordinator's are ``recording_coordinator``. Each holder
knows other rows. What is left of a phase is evidence: a copy of all that the
coordinator stored, wrote and answered, and a record of all that it received.
"""

import json
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from tests.attacks.canary_forms import Canary, CanaryNumber, fresh_text
from tests.attacks.received import read_records
from tests.integration import leaking_node, recording_coordinator
from tests.integration.canary_data import forget, plant
from tests.integration.canary_evidence import KEY_BITS, PARTIES, Evidence
from tests.integration.often_reconciled import reconcile_often
from veilscore.coordinator import config
from veilscore.lab import processes
from veilscore.lab.comparison import export_card, score_and_compare
from veilscore.lab.enrolment import Federation, Member, enrol
from veilscore.lab.errors import RunStoppedError
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.outcome import ScoreOutcome
from veilscore.lab.plain import read_table
from veilscore.lab.processes import PartyProcess, stop_all, veilscore
from veilscore.lab.starting import COORDINATOR, start_all
from veilscore.lab.training import Trained, contract, train
from veilscore.runtime.settings import loads

BANK, LEAKY = "bank", "bureau"
_RECON_S: Final = 15.0
_REST: Final = 20  # scores asked for over the bank's own interface
_PAGES: Final = (
    *("/", "/parties", "/api", "/openapi.json", "/livez", "/readyz", "/v1/status"),
    *("/events.csv", "/events.json", "/parties.csv", "/parties.json", "/v1/runs"),
    *("/checkpoint", "/log.v1.json", "/registry.json"),
)
_LAB: Final = """\
name = "canaries"
key_bits = {key_bits}
[data]
file = "loans.csv.gz"
split = "split.csv.gz"
vertical = "vertical.json"
scheme = "canaries"
categorical = {categorical}
[[party]]
name = "bank"
holder = "bank"
roles = ["data_holder", "requester"]
training = {{ approve = "automatic" }}
[[party]]
name = "bureau"
holder = "bureau"
training = {{ approve = "automatic" }}
scoring = {{ requesters = ["bank"], purposes = ["pre_loan"] }}
[[party]]
name = "market"
holder = "market"
training = {{ approve = "automatic" }}
scoring = {{ requesters = ["bank"], purposes = ["pre_loan"] }}
[[run]]
name = "default"
[score]
requester = "bank"
entities = 300
"""


@dataclass(slots=True)
class CanaryFederation:
    """A federation, its secrets, and the folder of all parties."""

    lab: LabFile
    federation: Federation
    state: Path
    secrets: list[Canary | CanaryNumber]
    contract: Path
    killed: int = 0
    scores: ScoreOutcome | None = None
    rest_scores: int = 0

    @classmethod
    def create(cls, folder: Path) -> "CanaryFederation":
        """Write the data and let every party join, by the commands of the README."""
        data, state = folder / "data", folder / "state"
        data.mkdir()
        state.mkdir()
        planted = plant(data, BANK, PARTIES)
        categorical = json.dumps(planted.categorical)
        text = _LAB.format(key_bits=KEY_BITS, categorical=categorical)
        lab = loads(text.encode(), LabFile, None)
        holdings = dict(make_holdings(lab, data, state))
        for holding in holdings.values():
            forget(holding.path)
        federation = enrol(lab, holdings, state, lambda _: None)
        for member in federation.members.values():
            reconcile_often(member.config, _RECON_S)
        path = federation.folder / "default.contract.toml"
        path.write_text(contract(lab, lab.run[0], BANK), encoding="utf-8")
        return cls(lab, federation, state, planted.secrets, path)

    def run(self) -> Evidence:
        """Train, score, look at every page, export; every party behaves."""
        evidence = self._evidence("clean")
        with self._running(evidence):
            trained = train(self.federation, self.contract, lambda _: None)
            evidence.run = trained.run
            self._score(trained)
            self._look_around(evidence, trained)
            self._audit()
            self._copy(evidence, "running")
        self._copy(evidence, "stopped")
        return evidence

    def run_with_leak(self, stopped_by: str = LEAKY) -> Evidence:
        """Train with a leaking node until the run stops."""
        evidence = self._evidence("leaky")
        with self._running(evidence, leaking=True):
            with pytest.raises(RunStoppedError) as stopped:
                train(self.federation, self.contract, lambda _: None)
            assert stopped.value.party == stopped_by
            with self._operator() as client:
                runs = client.get("/v1/runs")
            evidence.keep("web/v1-runs", runs.content)
            evidence.run = runs.json()[0]["run"]
        self._copy(evidence, "stopped")
        return evidence

    @property
    def bank(self) -> Member:
        """The label holder, which asks for scores."""
        return self.federation.members[BANK]

    @property
    def ports(self) -> set[int]:
        """Where the coordinator is to listen."""
        settings = config.read(self.federation.config)
        return {settings.hub.port, settings.flower.port, settings.web.port}

    def _evidence(self, name: str) -> Evidence:
        folder = self.state.parent / name
        folder.mkdir()
        return Evidence(folder, time.time())

    @contextmanager
    def _running(self, evidence: Evidence, *, leaking: bool = False) -> Generator[None]:
        """Run all parties, the coordinator recording, until the body is done."""
        records = self.state.parent / f"{evidence.folder.name}.records"
        records.mkdir()
        parties: dict[str, PartyProcess] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(recording_coordinator.FOLDER, str(records))
            patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
            modules = {str(self.federation.config): recording_coordinator.MODULE}
            for name, module in self._nodes(leaking=leaking).items():
                modules[str(self.federation.members[name].config)] = module
            patch.setattr(processes, "_command", _other_modules(modules))
            try:
                start_all(self.federation, self.state, parties)
                evidence.listening = _listening(parties[COORDINATOR].family())
                yield
            finally:
                self.killed += stop_all(parties.values())
        evidence.received = tuple(read_records(records))
        evidence.until = time.time()

    def _nodes(self, *, leaking: bool) -> dict[str, str]:
        """Return the modules of the nodes that are not as in production."""
        return {LEAKY: leaking_node.MODULE} if leaking else {}

    def _score(self, trained: Trained) -> None:
        """Ask for scores by the command and, with a canary, over the interface."""
        members = self.federation.members
        tables = {name: read_table(each.holding) for name, each in members.items()}
        cards = {n: export_card(each, trained.model) for n, each in members.items()}
        asked = tables[BANK].written
        self.scores = score_and_compare(
            self.bank,
            trained.model,
            asked[: self.lab.score.entities],
            cards,
            tables,
        )
        consent = self._secret("a consent")
        entities = [{"type": kind, "id": entity} for kind, entity in asked[:_REST]]
        answer = self._post(
            "scores", entities=entities, purpose="pre_loan", consent=consent
        )
        self.rest_scores = len(answer.json()["scores"])
        self._keep_records(entities[0])

    def _keep_records(self, entity: dict[str, str]) -> None:
        """Ask under a registered consent, show it, withdraw it and erase it all."""
        consent = {"reference": self._secret("a reference"), "entity": entity}
        document = self._secret("a document").encode().hex()
        until = int(time.time()) + 3600
        self._post(
            "consents",
            **consent,
            purposes=["pre_loan"],
            until=until,
            document=document,
        )
        reference = consent["reference"]
        self._post("scores", entities=[entity], purpose="pre_loan", consent=reference)
        told = self._post("asked-about", **entity).json()
        self._post("openings", request=told[-1]["request"], entity=entity)
        self._post("consents/withdraw", **consent)
        self._post("erasures", entity=entity)

    def _secret(self, what: str) -> str:
        """Return a text that the coordinator must not see."""
        planted = fresh_text()
        self.secrets.append(Canary(what, planted))
        return planted

    def _post(self, path: str, **body: object) -> httpx.Response:
        """Ask the bank's node over its own interface."""
        token = (self.bank.folder / "web.token").read_text(encoding="ascii").strip()
        answer = httpx.post(
            f"{self.bank.web}/v1/{path}",
            headers={"Authorization": f"Bearer {token}"},
            json=body,
            timeout=60,
        )
        answer.raise_for_status()
        return answer

    def _look_around(self, evidence: Evidence, trained: Trained) -> None:
        """Get every page that the coordinator has, and one event of each kind."""
        with self._operator() as client:
            rows = client.get("/events.json").json()
            events = {row["type"]: f"/events/{row['index']}" for row in rows}.values()
            parts = [event + part for event in events for part in ("/entry", "/proof")]
            for path in (*_PAGES, f"/v1/runs/{trained.run}", *events, *parts):
                answer = client.get(path)
                answer.raise_for_status()
                headers = json.dumps(answer.headers.multi_items()).encode()
                name = path.strip("/").replace("/", "-") or "index"
                evidence.keep(f"web/{name}", headers + b"\n" + answer.content)

    def _audit(self) -> None:
        """Export and verify the log, as an auditor would."""
        out = self.federation.folder / "audit.tar"
        pinned = ("--fingerprint", self.federation.fingerprint)
        veilscore(
            *("audit", "export", "--from", self.federation.web, "--out", out), *pinned
        )
        report = json.loads(veilscore("audit", "verify", out, "--json", *pinned))
        assert report["verified"]

    def _copy(self, evidence: Evidence, when: str) -> None:
        """Copy the coordinator's folder, its output, and what parties handed to it."""
        shutil.copytree(self.federation.folder, evidence.folder / when)
        for path in (
            self.state / f"{COORDINATOR}.log",
            *self.state.glob("*.kit.json"),
            *self.state.glob("*/card.json"),
        ):
            name = "-".join(path.relative_to(self.state).parts)
            shutil.copy(path, evidence.folder / f"{when}-{name}")

    def _operator(self) -> httpx.Client:
        token = (self.federation.folder / "web.token").read_text(encoding="ascii")
        return httpx.Client(
            base_url=self.federation.web,
            headers={"Authorization": f"Bearer {token.strip()}"},
            timeout=30,
            trust_env=False,
        )


def _other_modules(
    modules: Mapping[str, str],
) -> Callable[[Sequence[str | Path]], list[str]]:
    """Return the lab's ``_command``, with another module for these configurations."""
    usual = processes._command  # pyright: ignore[reportPrivateUsage] - nothing else differs from a lab

    def command(words: Sequence[str | Path]) -> list[str]:
        made = usual(words)
        if "run" in words[:2]:
            usual_module = made[made.index("-m") + 1]
            made[made.index("-m") + 1] = modules.get(str(words[-1]), usual_module)
        return made

    return command


def _listening(pids: Sequence[int]) -> frozenset[int]:
    return frozenset(
        connection.laddr.port
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    )
