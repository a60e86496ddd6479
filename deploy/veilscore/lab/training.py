"""Have a running federation train, and watch the steps go by.

The contract goes in by ``veilscore train``; how far the run is, the coordinator's REST
interface tells its operator.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from veilscore.lab.enrolment import Federation
from veilscore.lab.errors import LabError, RunStoppedError
from veilscore.lab.holdings import Holding
from veilscore.lab.lab_file import LabFile, RunSettings
from veilscore.lab.outcome import Quality
from veilscore.lab.processes import veilscore
from veilscore.lab.toml_text import to_toml

_LOOK_S = 0.2
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Trained:
    """A completed run: its model, how long each step took, and what was expected."""

    run: str
    model: str
    seconds: float
    steps: dict[str, float]
    expected: dict[str, int]  # seconds of work, by each party


def contract(lab: LabFile, run: RunSettings, label_holder: str) -> str:
    """Return a vertical run's contract in TOML, the parties filled in."""
    parties: dict[str, object] = {
        "label_holder": label_holder,
        "feature_holders": [n for n in lab.parties_of(run) if n != label_holder],
        "key_bits": lab.key_bits,
    }
    return to_toml(parties | run.contract)


def joint_contract(
    lab: LabFile, run: RunSettings, holdings: Mapping[str, Holding]
) -> str:
    """Return a horizontal run's contract in TOML, members and columns filled in.

    The columns are those that all members have; their levels are declared only where
    noise keeps the members from finding them out.
    """
    members = lab.parties_of(run)
    theirs = [{*holdings[name].features} for name in members]
    columns = {
        each.column: {"kind": each.kind, "levels": each.levels}
        if each.levels and "privacy" in run.horizontal
        else each.kind
        for each in holdings[members[0]].features
        if all(each in others for others in theirs)
    }
    filled = {"columns": columns, **run.horizontal}
    return to_toml({"members": members, **run.contract, "horizontal": filled})


def train(
    federation: Federation, contract_file: Path, watch: Callable[[str], None]
) -> Trained:
    """Run to the end; ``watch`` hears every step. Raises RunStoppedError."""
    began = time.monotonic()
    said = veilscore(
        *("train", contract_file, "--config", federation.config),
        *("--no-wait", "--json"),
    )
    run = str(json.loads(said)["run"])
    steps: dict[str, float] = {}
    step, since = "", began
    with _client(federation) as client:
        while True:
            view = _look(client, federation.web, run)
            now = time.monotonic()
            if view["step"] != step or view["ended_ms"] is not None:
                if step:
                    steps[step] = now - since
                step, since = str(view["step"]), now
                if step:
                    watch(step)
            if view["ended_ms"] is not None:
                break
            time.sleep(_LOOK_S)
    if view["phase"] != "completed":
        raise RunStoppedError(
            f"the run was stopped: {view['reason']}",
            party=str(view["stopped_by"]),
            remedy=str(view["remedy"]) or "Look into the logs of the lab.",
        )
    parties = cast("list[dict[str, str | int]]", view["parties"])
    expected = {str(each["party"]): int(each["estimated_s"]) for each in parties}
    return Trained(run, str(view["model"]), now - began, steps, expected)


def quality(federation: Federation, label_holder: str, model: str) -> Quality:
    """Return what the label holder found out about a model."""
    config = federation.members[label_holder].config
    status = json.loads(veilscore("node", "status", "--config", config, "--json"))
    for found in status["models"]:
        if found["hash"] == model and found["evaluation"] is not None:
            return Quality(**found["evaluation"])
    raise LabError(
        "has no evaluation of the model it helped to make", party=label_holder
    )


def _client(federation: Federation) -> httpx.Client:
    token = (federation.folder / "web.token").read_text(encoding="ascii").strip()
    return httpx.Client(
        headers={"Authorization": f"Bearer {token}"},
        timeout=_TIMEOUT_S,
        trust_env=False,
    )


def _look(client: httpx.Client, web: str, run: str) -> dict[str, object]:
    try:
        answer = client.get(f"{web}/v1/runs/{run}")
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise LabError(
            f"the coordinator does not tell how far the run is ({error})",
            place=web,
        ) from error
    return cast("dict[str, object]", answer.json())
