"""Every lab that comes with the program, against the programs that will read it."""

from datetime import date
from pathlib import Path

import pytest

from veilscore.coordinator.contract import read_contract
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.lab.lab_file import LabFile, RunSettings, read_lab, shipped_labs
from veilscore.lab.toml_text import to_toml
from veilscore.lab.training import contract
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.training.policy import TrainingSettings, check
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import load

LABEL_HOLDER = "bank"  # in every lab we ship
LABS = {name: read_lab(name) for name in shipped_labs()}
RUNS = [(lab, run) for lab in LABS.values() for run in lab.run]

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
        "polish_bankruptcy_5y_three",
        "sba22k_three",
        "uci_default_fate2",
        "uci_default_three_A",
        "uci_default_three_B",
    }
    assert all(lab.name == name for name, lab in LABS.items())


@pytest.mark.parametrize(
    ("lab", "run"), RUNS, ids=[f"{lab.name}-{run.name}" for lab, run in RUNS]
)
def test_every_node_of_a_lab_allows_its_runs(
    tmp_path: Path, lab: LabFile, run: RunSettings
) -> None:
    text = contract(lab, run, LABEL_HOLDER)
    asked = read_contract(text.encode(), registry_of(lab), "00" * 16)
    assert asked.label_holder == LABEL_HOLDER
    assert {entry.party for entry in asked.roster} == {p.name for p in lab.party}
    assert asked.key_bits == lab.key_bits
    for party in lab.party:
        settings = tmp_path / "training.toml"
        settings.write_text(to_toml(party.training))
        allowed = load(settings, TrainingSettings)
        assert allowed.approve == "automatic"
        check(asked, party.name, allowed)


@pytest.mark.parametrize("lab", LABS.values(), ids=LABS)
def test_every_node_of_a_lab_answers_the_requester(
    tmp_path: Path, lab: LabFile
) -> None:
    path = tmp_path / "scoring.toml"
    for party in lab.party:
        path.write_text(to_toml(party.scoring))
        scoring = load(path, ScoringSettings)
        if party.name != lab.score.requester:
            assert lab.score.requester in scoring.requesters
            assert "pre_loan" in scoring.purposes
            assert scoring.allow_two_party == (len(lab.party) == 2)


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


def test_some_of_the_runs() -> None:
    lab = LABS["sba22k_three"]
    assert [run.name for run in lab.only("exact, default").run] == ["exact", "default"]
    assert lab.only(None) == lab
    with pytest.raises(ConfigError, match="no run 'fast'"):
        lab.only("default,fast")
