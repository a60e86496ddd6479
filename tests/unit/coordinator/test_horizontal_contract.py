"""From the operator's TOML to the contract of a horizontal run, and what is refused."""

import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.coordinator.test_contract import read, refusal
from tests.unit.tlog.sample_log import Parties
from veilscore.coordinator.contract import read_contract
from veilscore.coordinator.errors import ContractError
from veilscore.models.horizontal.accounting import epsilon
from veilscore.models.horizontal.noise_shares import sums_of
from veilscore.models.horizontal.own_model import fit_own
from veilscore.models.horizontal.run import columns_of, terms_of
from veilscore.models.horizontal.terms import NOISY, Members, Terms
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RunContract,
)

MEMBERS = 'members = ["market", "bank", "bureau"]\n'
HEAD = f"max_rows = 5000\n{MEMBERS}"
COLUMNS = """
[horizontal.columns]
income = "numeric"
industry = { kind = "categorical", levels = ["01", "02"] }
"""
SMALLEST = HEAD + COLUMNS
PRIVACY = "[horizontal.privacy]\nepsilon = 3.0\ndelta = 1e-5\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "CONTRACT.toml"


def clause(text: str) -> str:
    """Return a contract with a clause in its table ``[horizontal]``."""
    return f"{HEAD}[horizontal]\n{text}\n{COLUMNS}"


def test_the_smallest_contract_trains_by_the_defaults_of_training(
    path: Path, parties: Parties
) -> None:
    found = read(path, parties, SMALLEST)
    assert [entry.party for entry in found.roster] == ["bank", "bureau", "market"]
    fingerprints = parties.registry.fingerprints()
    assert all(each.fingerprint == fingerprints[each.party] for each in found.roster)
    assert found.label_holder == ""
    members = Members(most=3, least=3, most_rows=5000)
    assert terms_of(found, 3) == Terms(run="0a" * 16, members=members)
    assert found.horizontal.own == "intercept"
    assert found.horizontal.pull == signature(fit_own).parameters["pull"].default
    assert [(each.name, each.kind, each.levels) for each in columns_of(found)] == [
        ("income", "number", None),
        ("industry", "text", ("01", "02")),
    ]


def test_every_clause_reaches_the_contract(path: Path, parties: Parties) -> None:
    found = read(
        path,
        parties,
        """
members = ["bank", "bureau", "market"]
min_count = 7
max_rows = 5000
granularity = 10
[scale]
base_points = 500
base_odds = 10
points_to_double_odds = 20.5
[horizontal]
optimizer = "average"
rounds = 9
local_epochs = 2
batch = 32
local_rate = 0.5
proximal = 0.25
server_rate = 1
decay = false
momentum = 0.5
second_momentum = 0.75
adaptivity = 0.125
ridge = 3
longest_change = 4
colluding = 1
own = "tables"
pull = 50
[horizontal.columns]
sector = "categorical"
income = { kind = "numeric" }
""",
    )
    del found.roster[:]
    assert found == RunContract(
        run="0a" * 16,
        min_count=7,
        max_rows=5000,
        granularity=10,
        base_points=500,
        base_odds=10,
        points_to_double_odds=20.5,
        horizontal=HorizontalTerms(
            columns=[JointColumn(name="sector", text=True), JointColumn(name="income")],
            optimizer="average",
            rounds=9,
            local_epochs=2,
            batch=32,
            local_rate=0.5,
            proximal=0.25,
            server_rate=1,
            decay=False,
            momentum=0.5,
            second_momentum=0.75,
            adaptivity=0.125,
            ridge=3,
            longest_change=4,
            colluding=1,
            own="tables",
            pull=50,
        ),
    )


def test_a_budget_becomes_noise_that_keeps_to_it(path: Path, parties: Parties) -> None:
    found = read(path, parties, SMALLEST + PRIVACY)
    spent = epsilon(sums_of(terms_of(found, 3)), 1e-5)
    assert 2.95 < spent <= 3.0
    assert found.horizontal.privacy.clip == pytest.approx(0.5 * 3**0.5)
    # Members account for what they added, whatever somebody says it is worth.
    assert {field.name for field in HorizontalPrivacy.DESCRIPTOR.fields} == {
        "clip",
        "noise",
        "count_noise",
    }
    cut = read(path, parties, SMALLEST + PRIVACY + "clip = 2.0\n").horizontal.privacy
    assert cut.clip == 2.0
    assert cut.noise == found.horizontal.privacy.noise  # in units of clip


def trained(path: Path, parties: Parties, text: str) -> Terms:
    """Return what is trained with, but for the noise."""
    found = terms_of(read(path, parties, text), 3)
    return replace(found, privacy=None)


def test_a_budget_brings_the_terms_that_suit_noise(
    path: Path, parties: Parties
) -> None:
    members = Members(most=3, least=3, most_rows=5000)
    default = Terms(run="0a" * 16, members=members)
    noisy = replace(default, **NOISY)  # type: ignore[arg-type]  # fields by name
    assert noisy.optimizer == "adam"
    assert trained(path, parties, SMALLEST + PRIVACY) == noisy
    for text, expected in (
        ('optimizer = "adam"', noisy),
        ("server_rate = 0.3", replace(noisy, server_rate=0.3)),
        ('optimizer = "average"', default),
    ):
        assert trained(path, parties, clause(text) + PRIVACY) == expected


def test_a_budget_without_its_library_is_refused_with_the_remedy(
    path: Path, parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    error = refusal(path, parties, SMALLEST + PRIVACY)
    assert "dp-accounting" in error.what
    assert "veilscore[dp]" in error.remedy


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (clause("rounds = 0"), "`horizontal.rounds`"),
        (clause("rounds = 1025"), "`horizontal.rounds`"),
        (clause("rounds = 1.5"), "`horizontal.rounds`"),
        (clause("local_epochs = 0"), "`horizontal.local_epochs`"),
        (clause("batch = -1"), "`horizontal.batch`"),
        (clause("local_rate = inf"), "`horizontal.local_rate`"),
        (clause("proximal = -0.1"), "`horizontal.proximal`"),
        (clause("server_rate = 0"), "`horizontal.server_rate`"),
        (clause("decay = 1"), "`horizontal.decay`"),
        (clause("momentum = 1"), "`horizontal.momentum`"),
        (clause("second_momentum = nan"), "`horizontal.second_momentum`"),
        (clause("adaptivity = 0"), "`horizontal.adaptivity`"),
        (clause("ridge = nan"), "`horizontal.ridge`"),
        (clause("longest_change = 0"), "`horizontal.longest_change`"),
        (clause("longest_change = 1e300"), "do not add up in 64 bits"),
        (clause("colluding = 2"), "`horizontal.colluding` is not 1 to 1"),
        (clause("colluding = 0"), "`horizontal.colluding` is not 1 to 1"),
        (clause('optimizer = "sgd"'), "`horizontal.optimizer`"),
        (clause('own = "all"'), "`horizontal.own`"),
        (clause("pull = -1"), "`horizontal.pull`"),
        (clause("round = 3"), "did you mean `rounds`?"),
        ("max_rows = 16_777_217\n" + MEMBERS + COLUMNS, "`max_rows`"),
        (MEMBERS + COLUMNS, "`max_rows` is missing"),
        ("min_count = 0\n" + SMALLEST, "`min_count`"),
        ("key_bits = 3072\n" + SMALLEST, "`key_bits` is unknown"),
        (HEAD, "`horizontal` is missing"),
        (HEAD + "[horizontal]\nrounds = 3\n", "`horizontal.columns` is missing"),
        (HEAD + "[horizontal.columns]\n", "`horizontal.columns`"),
        (SMALLEST + 'sector = "text"', "`horizontal.columns.sector`"),
        (SMALLEST + 'sector = { levels = ["a"] }', "`horizontal.columns.sector.kind`"),
        (
            SMALLEST + 'debt = { kind = "numeric", levels = ["1"] }',
            "`horizontal.columns.debt` is numeric and has `levels`",
        ),
        (
            SMALLEST + 'sector = { kind = "categorical", levels = ["a", "a"] }',
            "`horizontal.columns.sector` has one of its `levels` twice",
        ),
        (
            SMALLEST + 'sector = { kind = "categorical", levels = [] }',
            "`horizontal.columns.sector.levels`",
        ),
        (SMALLEST + PRIVACY.replace("3.0", "0"), "`horizontal.privacy.epsilon`"),
        (SMALLEST + PRIVACY.replace("1e-5", "1"), "`horizontal.privacy.delta`"),
        (SMALLEST + PRIVACY + "clip = 0", "`horizontal.privacy.clip`"),
        (SMALLEST + PRIVACY + "noise = 1", "`horizontal.privacy.noise` is unknown"),
        (
            SMALLEST + 'sector = "categorical"\n' + PRIVACY,
            "`horizontal.columns.sector` has no `levels`",
        ),
    ],
)
def test_what_is_wrong_is_named(
    path: Path, parties: Parties, text: str, what: str
) -> None:
    assert what in refusal(path, parties, text).what


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (["bank", "market"], "`members` names 2 parties"),
        (["bank", "market", "bank"], "names a party twice"),
        ([], "`members` names 0 parties"),
        (["bank", "bureau", "insurer"], "`members` names 'insurer'"),
        (["bank", "bureau", "hub"], "`members` names 'hub'"),  # holds no data
        ([f"county-{number}" for number in range(101)], "names 101 parties"),
    ],
)
def test_a_wrong_member_is_named(
    path: Path, parties: Parties, members: list[str], what: str
) -> None:
    assert (
        what
        in refusal(path, parties, f"max_rows = 9\nmembers = {members}\n{COLUMNS}").what
    )


@pytest.mark.parametrize(
    "keys", ['label_holder = "bank"', 'feature_holders = ["bank", "bureau"]']
)
def test_a_contract_of_both_kinds_is_refused_once(
    path: Path, parties: Parties, keys: str
) -> None:
    for text in (f"{keys}\n{SMALLEST}", f"{keys}\n{COLUMNS}"):
        error = refusal(path, parties, text)
        assert f"`{keys.partition(' ')[0]}`" in error.what
        assert error.what.endswith("are of two kinds of runs")
        assert "`members`" in error.remedy


def test_all_problems_are_told_at_once(path: Path, parties: Parties) -> None:
    text = (
        'max_rows = 9\nmembers = ["bank", "bank", "x1"]\n'
        "[horizontal]\nrounds = 0\nbatch = 0\n"
        '[horizontal.columns]\nsector = "categorical"\n'
    ) + PRIVACY
    error = refusal(path, parties, text)
    for part in ("twice", "2 parties", "'x1'", "rounds", "batch", "sector"):
        assert part in error.what
    assert "bank, bureau, market" in error.remedy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*HorizontalTerms.DESCRIPTOR.fields_by_name, "scale"]),
            st.sampled_from(
                ["1", "-1", "0.5", "true", '"adam"', "[]", "{}", "1e400", "10" * 400]
            ),
        ),
        unique_by=lambda pair: pair[0],
    )
)
def test_any_clauses_are_a_contract_or_refused(
    parties: Parties, clauses: list[tuple[str, str]]
) -> None:
    text = clause("\n".join(f"{key} = {value}" for key, value in clauses))
    try:
        found = read_contract(text.encode(), parties.registry, "0a" * 16)
    except ContractError:
        return
    assert terms_of(found, 3).rounds == found.horizontal.rounds
