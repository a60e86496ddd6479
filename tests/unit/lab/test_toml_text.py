"""What is written is what ``tomllib`` reads."""

import json
import tomllib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.lab.toml_text import to_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8
)


@given(st.dictionaries(TEXTS, VALUES))
def test_what_is_written_is_read_back(document: Mapping[str, object]) -> None:
    found = tomllib.loads(to_toml(document))
    # Compared as text, because NaN is unlike itself.
    assert json.dumps(found, sort_keys=True) == json.dumps(document, sort_keys=True)


def test_it_looks_as_people_write_it() -> None:
    document = {
        "training": {"approve": "automatic", "max_rows": 5},
        "party": "bank",
        "feature": [{"column": "Ü", "missing": ["-1"]}],
    }
    assert to_toml(document) == (
        'party = "bank"\n'
        'feature = [{ column = "Ü", missing = ["-1"] }]\n'
        "\n"
        "[training]\n"
        'approve = "automatic"\n'
        "max_rows = 5\n"
    )


def test_a_value_without_a_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        to_toml({"seed": None})
