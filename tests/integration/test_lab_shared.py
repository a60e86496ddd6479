"""Labs on real credit data: one running lab a data set trains in several modes.

Where rows lie by regions, members must have the model of pooled rows within .003 AUC.

All parties are processes of their own, keys have 2048 bits to save time. The bars are
AUC on all fixed test rows, also on the few percent that a run leaves out: which these
are moves the label holder's own figure, on the others, by .001 to .003. ``exact`` must
be pooled logistic regression on the same bins. ``make test`` plays the smallest lab in
all modes and one more in the default one, ``make soak`` every lab and all regions; the
same scripts meet the same bars on all data sets, in one process, in
``protocol/test_vertical_shared``, in the mean of three draws of the noise, and in
``protocol/test_horizontal_shared``. Skipped loudly where the data is absent.
"""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.shared import require_shared

pytestmark = pytest.mark.long
SMALLEST = "polish_bankruptcy_5y_three"
COMMAND = [sys.executable, "-P", "-c", "from veilscore.runtime.cli import main; main()"]


def play(lab: str, folder: Path, *only: str) -> dict[str, Any]:
    """Run a shipped lab with 2048-bit keys; returns what it found out."""
    data = require_shared("data")
    shipped = resources.files("veilscore.lab") / "labs" / f"{lab}.toml"
    file, out = folder / "lab.toml", folder / "out.json"
    file.write_text("key_bits = 2048\n" + shipped.read_text(encoding="utf-8"))
    words = ["lab", "run", str(file), "--data", str(data), "--json", str(out)]
    if only:
        words += ["--only", ",".join(only)]
    done = subprocess.run(
        [*COMMAND, *words, "--state", str(folder / "state")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert all(found["checks"].values())
    assert found["scores"]["mismatches"] == 0
    return found


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("lab", "default", "polish", "asked"),
    [
        ("uci_default_three_A", 0.774, 0.776, 10_000),
        pytest.param(
            "uci_default_three_B", 0.774, 0.776, 10_000, marks=pytest.mark.soak
        ),
        pytest.param("sba22k_three", 0.765, 0.768, 10_000, marks=pytest.mark.soak),
        ("polish_bankruptcy_5y_three", 0.900, 0.903, 5_000),
    ],
)
def test_training_on_real_data(
    lab: str,
    default: float,
    polish: float,
    asked: int,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    in_all_modes = lab == SMALLEST or pytestconfig.getoption("--soak")
    modes = ["default", "polish", "exact"] if in_all_modes else ["default"]
    found = play(lab, tmp_path, *modes)
    runs = {run["name"]: run for run in found["runs"]}
    assert list(runs) == modes
    for run in runs.values():
        assert run["quality"]["auc"] > run["quality"]["alone_auc"]
        assert abs(run["parity"]["card_auc_apart"]) <= 0.0003
        assert abs(run["parity"]["judged_card_auc_apart"]) <= 0.0003
    assert runs["default"]["parity"]["federated_auc"] >= default
    assert found["scores"]["answered"] == asked
    if not in_all_modes:
        return
    assert runs["polish"]["parity"]["federated_auc"] >= polish
    parity = runs["exact"]["parity"]
    assert abs(parity["federated_auc"] - parity["central_auc"]) <= 0.001
    assert abs(parity["federated_ks"] - parity["central_ks"]) <= 0.004
    assert parity["worst_pd"] <= 5e-3


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_parties_train_when_all_of_them_allow_it(tmp_path: Path) -> None:
    found = play("uci_default_fate2", tmp_path, "default")
    (run,) = found["runs"]
    assert "cross" not in run["steps"]
    assert run["parity"]["federated_auc"] >= 0.774


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("lab", "members", "pooled", "asked"),
    [
        pytest.param(
            *("polish_bankruptcy_5y_regions", 3, 0.89, 1_000), marks=pytest.mark.soak
        ),
        pytest.param("sba22k_regions", 5, 0.775, 5_000, marks=pytest.mark.soak),
        pytest.param("uci_default_regions", 4, 0.775, 4_863, marks=pytest.mark.soak),
    ],
)
def test_regions_train_the_model_of_pooled_rows(
    lab: str, members: int, pooled: float, asked: int, tmp_path: Path
) -> None:
    found = play(lab, tmp_path, "default")
    (run,) = found["runs"]
    joint = run["joint"]
    assert len(run["members"]) == members
    assert joint["tables_apart"] == 0
    assert joint["pooled_auc"] >= pooled
    assert abs(joint["auc"] - joint["pooled_auc"]) <= 0.003
    assert abs(joint["judged_card_auc_apart"]) <= 0.0003
    for member in run["members"].values():
        assert abs(member["reported"] - member["here"]["auc"]) <= 1e-6
    assert found["scores"]["answered"] == asked
    assert len(found["scores"]["example"]["partials"]) == 1


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_a_bank_that_has_just_begun_gains(tmp_path: Path) -> None:
    found = play("uci_default_cold_start", tmp_path, "default")
    (run,) = found["runs"]
    begun = run["members"]["bank-4"]
    assert begun["learned"] == 200
    gain = begun["here"]["auc"] - begun["alone"]["auc"]
    assert gain >= 0.02
    assert gain > 2 * begun["gain_error"]


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("lab", ["sba22k_regions", "uci_default_regions"])
def test_regions_train_with_noise(lab: str, tmp_path: Path) -> None:
    pytest.importorskip("dp_accounting")
    found = play(lab, tmp_path, "private")
    (run,) = found["runs"]
    assert run["private"]
    assert run["joint"]["tables_apart"] == 0
    assert run["joint"]["auc"] >= 0.73
