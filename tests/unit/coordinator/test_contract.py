"""From the operator's TOML to the contract, and what is refused on the way."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tlog.sample_log import Parties
from veilscore.coordinator.contract import read_contract
from veilscore.coordinator.errors import ContractError
from veilscore.keys.paillier.public import MINIMUM_BITS
from veilscore.models.vertical.layout import CrossLayout, RowLayout
from veilscore.v1.training_pb2 import RunContract

SMALLEST = 'label_holder = "bank"\nfeature_holders = ["market", "bureau"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "CONTRACT.toml"


def read(path: Path, parties: Parties, text: str) -> RunContract:
    return read_contract(text.encode(), parties.registry, "0a" * 16, path)


def refusal(path: Path, parties: Parties, text: str) -> ContractError:
    with pytest.raises(ContractError) as caught:
        read(path, parties, text)
    error = caught.value
    assert error.place == str(path)
    assert error.remedy
    assert error.exit_code == 2
    return error


def test_the_smallest_contract_gets_the_documented_defaults(
    path: Path, parties: Parties
) -> None:
    found = read(path, parties, SMALLEST)
    fingerprints = parties.registry.fingerprints()
    roster = {entry.party: entry.fingerprint for entry in found.roster}
    assert list(roster) == ["bank", "bureau", "market"]  # sorted by name
    assert roster == {name: fingerprints[name] for name in roster}
    del found.roster[:]
    assert found == RunContract(
        run="0a" * 16,
        label_holder="bank",
        key_bits=3072,
        cover_ratio=-1,
        min_count=5,
        ridge=10,
        max_columns=64,
        max_bins=256,
        max_rows=200_000,
        base_points=600,
        base_odds=20,
        points_to_double_odds=40,
        granularity=1,
    )


def test_every_clause_reaches_the_contract(path: Path, parties: Parties) -> None:
    found = read(
        path,
        parties,
        """
label_holder = "bank"
feature_holders = ["market"]
key_bits = 2048
cover = 0.5
min_count = 7
count_epsilon = 1.5
polish = 2
noise = 0.25
ridge = 3
max_columns = 20
max_bins = 99
max_rows = 5000
granularity = 10
known_to_all = true
allow_two_party = true
[scale]
base_points = 500
base_odds = 10
points_to_double_odds = 20.5
""",
    )
    del found.roster[:]
    assert found == RunContract(
        run="0a" * 16,
        label_holder="bank",
        key_bits=2048,
        cover_ratio=0.5,
        min_count=7,
        count_epsilon=1.5,
        polish_steps=2,
        polish_noise=0.25,
        ridge=3,
        max_columns=20,
        max_bins=99,
        max_rows=5000,
        granularity=10,
        known_to_all=True,
        allow_two_party=True,
        base_points=500,
        base_odds=10,
        points_to_double_odds=20.5,
    )


def test_exact_takes_eight_steps_unless_told(path: Path, parties: Parties) -> None:
    assert read(path, parties, SMALLEST + "exact = true").polish_steps == 8
    found = read(path, parties, SMALLEST + "exact = true\npolish = 3")
    assert (found.exact, found.polish_steps, found.polish_noise) == (True, 3, 0)


@pytest.mark.parametrize(
    ("clause", "key"),
    [
        ("key_bits = 1024", "key_bits"),
        ("key_bits = 3073", "key_bits"),
        ('cover = "some"', "cover"),
        ("cover = -1", "cover"),
        ("cover = true", "cover"),
        ("cover = nan", "cover"),
        ("cover = inf", "cover"),
        ("min_count = 0", "min_count"),
        ("count_epsilon = -0.1", "count_epsilon"),
        ("count_epsilon = nan", "count_epsilon"),
        ("ridge = 0", "ridge"),
        ("ridge = inf", "ridge"),
        ("ridge = 1e7", "ridge"),
        ("max_rows = 0", "max_rows"),
        ("max_columns = 5000", "max_columns"),
        ("max_bins = 1", "max_bins"),
        ("granularity = 0", "granularity"),
        ('granularity = "1"', "granularity"),
        ("allow_two_party = 1", "allow_two_party"),
        ("known_to_all = 1", "known_to_all"),
        ("minimum_count = 5", "minimum_count"),
        ("[scale]\nbase_odds = 0", "scale.base_odds"),
        ("[scale]\npoints_to_double_odds = 1e-9", "scale.points_to_double_odds"),
        ("[scale]\nbase_points = 1.5", "scale.base_points"),
        ("[scale]\nodds = 2", "scale.odds"),
        ("polish = 2", "polish"),
        ("polish = -1", "polish"),
        ("noise = 0.5", "noise"),
        ("exact = true\npolish = 0", "exact"),
        ("exact = true\nnoise = 0.5", "noise"),
        ("max_rows = 100_000_001", "max_rows"),
    ],
)
def test_a_bad_clause_is_named(
    path: Path, parties: Parties, clause: str, key: str
) -> None:
    assert f"`{key}`" in refusal(path, parties, SMALLEST + clause).what


def test_the_largest_contract_fits_the_smallest_key() -> None:
    """Otherwise a run would fail after everybody approved it."""
    modulus = 1 << (MINIMUM_BITS - 1)
    for plan in (RowLayout.plan, CrossLayout.plan):
        layout = plan(100_000_000, 4096, 4096, modulus)
        assert layout.groups  # it did not raise BoundError


@pytest.mark.parametrize(
    ("label", "features", "what"),
    [
        ("bank", [], "`feature_holders` names nobody"),
        ("bank", ["market"], "everything joint is its own by subtraction"),
        ("bank", ["market", "market"], "names a party twice"),
        ("bank", ["bank", "market"], "the label holder bank is among"),
        ("cooperative", ["bank", "market"], "`label_holder` names 'cooperative'"),
        ("bank", ["market", "insurer"], "`feature_holders` names 'insurer'"),
        ("hub", ["market", "bureau"], "`label_holder` names 'hub'"),  # holds no data
    ],
)
def test_a_wrong_party_is_named(
    path: Path, parties: Parties, label: str, features: list[str], what: str
) -> None:
    text = f'label_holder = "{label}"\nfeature_holders = {features}\n'
    assert what in refusal(path, parties, text).what


def test_all_problems_are_told_at_once(path: Path, parties: Parties) -> None:
    text = 'label_holder = "x1"\nfeature_holders = ["bank", "bank"]\nnoise = 1\n'
    error = refusal(path, parties, text)
    for part in ("'x1'", "twice", "`noise`"):
        assert part in error.what
    assert "Some of" not in error.remedy
    assert "bank, bureau, market" in error.remedy
    keys = refusal(path, parties, "ridge = 0\nmin_count = 0\n").what
    for key in ("ridge", "min_count", "label_holder", "feature_holders"):
        assert f"`{key}`" in keys


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(max_size=80)
    | st.lists(
        st.tuples(
            st.sampled_from(["cover", "polish", "noise", "exact", "key_bits", "scale"]),
            st.sampled_from(["1", "-1", "0.5", "true", '"union"', "[]", "{}", "1e400"]),
        ),
        unique_by=lambda pair: pair[0],
    ).map(lambda pairs: SMALLEST + "\n".join(f"{k} = {v}" for k, v in pairs))
)
def test_any_text_is_a_contract_or_refused(parties: Parties, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    try:
        found = read_contract(data, parties.registry, "0a" * 16)
    except ContractError:
        return
    assert found.label_holder == "bank"
    assert found.polish_steps == 0 or found.exact or found.polish_noise > 0
