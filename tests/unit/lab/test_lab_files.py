"""Every lab that comes with the program, against the programs that will read it."""

from datetime import date
from pathlib import Path

import pytest

from tests.unit.lab.small_regions import LAB as REGIONAL
from veilscore.coordinator.contract import read_contract
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.lab.holdings import Feature, Holding
from veilscore.lab.lab_file import LabFile, RunSettings, read_lab, shipped_labs
from veilscore.lab.toml_text import to_toml
from veilscore.lab.training import contract, joint_contract
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.training.policy import TrainingSettings, check
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import load

LABS = {name: read_lab(name) for name in shipped_labs()}
RUNS = [(lab, run) for lab in LABS.values() for run in lab.run]
VERTICAL = [(lab, run) for lab, run in RUNS if not run.is_horizontal]
HORIZONTAL = [(lab, run) for lab, run in RUNS if run.is_horizontal]

PARTY = (
    '[[party]]\nname = "{0}"\nholder = "{0}"\nroles = ["data_holder", "requester"]\n'
)
ENDS = '[[run]]\nname = "default"\n[score]\nrequester = "bank"\nentities = 5\n'
SMALL = f"""\
name = "small"
[economy]
entities = 1000
seed = 1
{PARTY.format("bank")}{PARTY.format("chain")}{ENDS}"""


def registry_of(lab: LabFile) -> Registry:
    signer = Signer.generate()
    roles = {party.name: [Role(role) for role in party.roles] for party in lab.party}
    records = [
        PartyRecord(
            name,
            frozenset(roles.get(name, [Role.COORDINATOR])),
            (Signer.generate() if name in roles else signer).verify_key,
            flower_key="",
            joined=date(2026, 1, 1),
        )
        for name in ["coordinator", *roles]
    ]
    data = Registry.sign(records, signer, 1)
    return Registry.load(data, signer.verify_key.fingerprint)


def test_the_labs_we_promise_are_shipped() -> None:
    assert LABS.keys() == {
        "demo",
        "polish_bankruptcy_5y_regions",
        "polish_bankruptcy_5y_three",
        "sba22k_regions",
        "sba22k_three",
        "two_regions",
        "uci_default_cold_start",
        "uci_default_fate2",
        "uci_default_regions",
        "uci_default_three_A",
        "uci_default_three_B",
    }
    assert all(lab.name == name for name, lab in LABS.items())


def allowed(lab: LabFile, party: str, folder: Path) -> TrainingSettings:
    """Return what a party's node allows."""
    settings = folder / f"{party}.toml"
    named = {each.name: each for each in lab.party}
    settings.write_text(to_toml(named[party].training))
    return load(settings, TrainingSettings)


@pytest.mark.parametrize(
    ("lab", "run"), VERTICAL, ids=[f"{lab.name}-{run.name}" for lab, run in VERTICAL]
)
def test_every_node_of_a_lab_allows_its_vertical_runs(
    tmp_path: Path, lab: LabFile, run: RunSettings
) -> None:
    parties = lab.parties_of(run)
    label_holder = next(name for name in parties if name.endswith("bank"))
    text = contract(lab, run, label_holder)
    asked = read_contract(text.encode(), registry_of(lab), "00" * 16)
    assert asked.label_holder == label_holder
    assert {entry.party for entry in asked.roster} == {*parties}
    assert asked.key_bits == lab.key_bits
    for party in parties:
        settings = allowed(lab, party, tmp_path)
        assert settings.approve == "automatic"
        check(asked, party, settings)


@pytest.mark.parametrize(
    ("lab", "run"),
    HORIZONTAL,
    ids=[f"{lab.name}-{run.name}" for lab, run in HORIZONTAL],
)
def test_every_horizontal_run_of_a_lab_is_one(
    tmp_path: Path, lab: LabFile, run: RunSettings
) -> None:
    features = Feature("a", "numeric"), Feature("b", "categorical", levels=("x", "y"))
    any_holding = Holding(tmp_path, "", features, None, "y", "test")
    members = lab.parties_of(run)
    text = joint_contract(lab, run, dict.fromkeys(members, any_holding))
    asked = read_contract(text.encode(), registry_of(lab), "00" * 16)
    assert {entry.party for entry in asked.roster} == {*members}
    assert [each.name for each in asked.horizontal.columns] == ["a", "b"]
    for party in members:
        assert allowed(lab, party, tmp_path).approve_horizontal == "automatic"


@pytest.mark.parametrize("lab", LABS.values(), ids=LABS)
def test_every_node_of_a_lab_answers_the_requester(
    tmp_path: Path, lab: LabFile
) -> None:
    path = tmp_path / "scoring.toml"
    run, score = lab.run[-1], lab.score
    parties = [score.holder] if run.is_horizontal else lab.parties_of(run)
    asked = [p for p in lab.party if p.name in parties and p.name != score.requester]
    assert asked
    for party in asked:
        path.write_text(to_toml(party.scoring))
        scoring = load(path, ScoringSettings)
        assert score.requester in scoring.requesters
        assert "pre_loan" in scoring.purposes
        assert scoring.allow_two_party == (len(asked) == 1)


def test_a_lab_of_ones_own_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(SMALL)
    (tmp_path / "demo").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    assert read_lab("mine.toml").name == "small"
    assert read_lab("demo").name == "small"
    with pytest.raises(ConfigError, match="does not exist"):
        read_lab("other")


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"chain"\nroles', '"shop"\nroles', "a holder that the economy lacks: shop"),
        ('holder = "chain"', 'holder = "bank"', "names a holder twice"),
        ("[economy]", '[economy]\ndirty_holder = "x"', "the economy lacks: x"),
        ('requester = "bank"', 'requester = "x"', "a party in `score.requester`"),
        ("entities = 1000\nseed = 1\n", "", "`economy.entities` is missing"),
        ("[economy]\nentities = 1000\nseed = 1\n", "", "either `economy` or `data`"),
        (ENDS, ENDS + '[[run]]\nname = "default"\n', "names a run twice"),
        ("seed = 1", "seed = 1\nsede = 2", "did you mean `seed`"),
        (
            "seed = 1",
            "seed = 1\nregions = { north = [1, 2], south = [2] }",
            "puts a place into two regions",
        ),
        ("seed = 1", "seed = 1\nregions = { north = [44] }", "economy.regions.north"),
        (
            'holder = "chain"',
            'holder = "chain"\nregion = "north"',
            "a region without places: north",
        ),
        (
            'name = "default"',
            'name = "default"\nparties = ["bank", "shop"]',
            "no data holder with shop",
        ),
        (
            'name = "default"',
            'name = "default"\nparties = ["chain"]',
            "asks 'bank' for scores of a run that it is not in",
        ),
        (
            'name = "default"',
            'name = "default"\ncontract = { horizontal = {} }',
            "needs `score.holder`",
        ),
        (
            'requester = "bank"',
            'requester = "bank"\nholder = "shop"',
            "a data holder in `score.holder`",
        ),
    ],
)
def test_a_lab_that_contradicts_itself_is_refused(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(SMALL.replace(before, after))
    assert path.read_text() != SMALL
    with pytest.raises(ConfigError, match=what):
        read_lab(str(path))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("[data]", '[data]\nscheme = "x"', "either `vertical` and `scheme`, or"),
        ('regions = "regions.csv.gz"', "", "either `vertical` and `scheme`, or"),
        (
            'regions = "regions.csv.gz"',
            'vertical = "x"\nscheme = "x"',
            "which are for `regions`",
        ),
        ('holder = "north"', 'holder = "north"\nregion = "x"', "only an economy has"),
    ],
)
def test_data_are_dealt_out_in_one_way(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(REGIONAL.replace(before, after))
    assert path.read_text() != REGIONAL
    with pytest.raises(ConfigError, match=what):
        read_lab(str(path))


def test_runs_that_the_requester_is_not_in_are_not_played_last() -> None:
    lab = LABS["two_regions"]
    assert [run.name for run in lab.only("south,banks").run] == ["south", "banks"]
    with pytest.raises(ConfigError, match="asks 'north-bank' for scores of a run"):
        lab.only("banks,south")


def test_some_of_the_runs() -> None:
    lab = LABS["sba22k_three"]
    assert [run.name for run in lab.only("exact, default").run] == ["exact", "default"]
    assert lab.only(None) == lab
    with pytest.raises(ConfigError, match="no run 'fast'"):
        lab.only("default,fast")
