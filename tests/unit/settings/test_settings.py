"""A settings file is loaded completely or refused with everything that is wrong."""

from datetime import date
from pathlib import Path
from typing import Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import LocalPath, Settings, load


class Peer(Settings):
    name: str
    port: int = Field(ge=1, le=65535)


class File(Settings):
    file: LocalPath


class Memory(Settings):
    limit: int


class Program(Settings):
    party: str
    state: LocalPath = Path("state")
    since: date | None = None
    mode: Literal["fast", "safe"] = "safe"
    share: float = 0.5
    loud: bool = False
    peer: tuple[Peer, ...] = ()
    named: dict[str, Peer] = Field(default_factory=dict)
    store: File | Memory | None = None

    @model_validator(mode="after")
    def _loud_needs_peers(self) -> Self:
        if self.loud and not self.peer:
            raise ValueError("`loud` needs at least one `peer`")
        return self


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program.toml"


def refusal(file: Path, text: str) -> ConfigError:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, Program)
    assert caught.value.place == str(file)
    assert caught.value.remedy
    return caught.value


def test_every_type_of_value_arrives(file: Path) -> None:
    file.write_text(
        """
        party = "bank"
        since = 2025-01-31
        mode = "fast"
        share = 1
        state = "/var/lib/x"
        [[peer]]
        name = "银行"
        port = 9000
        [named.a]
        name = "a"
        port = 1
        [store]
        file = "s.db"
        """,
        encoding="utf-8",
    )
    program = load(file, Program)
    assert program.since == date(2025, 1, 31)
    assert program.peer == (Peer(name="银行", port=9000),)
    assert program.named["a"].port == 1
    assert program.share == 1.0
    assert program.state == Path("/var/lib/x")
    assert program.store == File(file=file.parent / "s.db")


def test_relative_paths_and_defaults_stand_beside_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('party = "bank"\n[store]\nfile = "../s.db"\n')
    monkeypatch.chdir(file.parent)
    program = load(Path(file.name), Program)
    assert program.state == file.parent / "state"
    assert program.store == File(file=file.parent / "../s.db")


def test_settings_cannot_be_changed(file: Path) -> None:
    file.write_text('party = "bank"')
    program = load(file, Program)
    with pytest.raises(ValidationError):
        setattr(program, "party", "other")  # noqa: B010 - past the type checkers


def test_a_byte_order_mark_is_accepted(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbfparty = "bank"')
    assert load(file, Program).party == "bank"


def test_a_misspelt_key_is_one_problem_with_a_suggestion(file: Path) -> None:
    error = refusal(file, 'party = "a"\n[[peer]]\nname = "x"\nprot = 1\n')
    assert error.what == "the key `peer#1.prot` is unknown (did you mean `port`?)"
    assert error.remedy == "Rename `peer#1.prot` to `port`"


def test_a_misspelt_key_in_a_table_of_free_names(file: Path) -> None:
    error = refusal(file, 'party = "a"\n[named.x]\nname = "x"\nport = 1\nnaem = 1\n')
    assert "`named.x.naem` is unknown (did you mean `name`?)" in error.what


def test_an_unknown_key_like_no_other_is_to_be_removed(file: Path) -> None:
    error = refusal(file, 'party = "a"\nzzz = 1\n')
    assert error.what == "the key `zzz` is unknown"
    assert error.remedy == "Remove `zzz`"


def test_a_missing_key(file: Path) -> None:
    error = refusal(file, '[[peer]]\nname = "x"\nport = 1\n[[peer]]\nport = 1\n')
    assert "the key `party` is missing" in error.what
    assert "the key `peer#2.name` is missing" in error.what
    assert error.remedy == "Add `party`, add `peer#2.name`"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("party = 1", "`party` should be a valid string"),
        ("loud = 1", "`loud` should be a valid boolean"),
        ('share = "1"', "`share` should be a valid number"),
        ('mode = "slow"', "`mode` should be 'fast' or 'safe'"),
        ('state = ""', "`state` should be the path"),
        ("peer = 1", "`peer` should be a valid"),
        ("state = 1", "`state` should be the path"),
        ('peer = [{name = "x", port = 70000}]', "`peer#1.port` should be less"),
        ('peer = [{name = "x", port = "1"}]', "`peer#1.port` should be a valid int"),
        ('store = {file = "a", limit = 1}', "`store.limit` is unknown"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(
    file: Path, line: str, complaint: str
) -> None:
    text = line if line.startswith("party") else f'party = "a"\n{line}'
    assert complaint in refusal(file, text).what


def test_a_rule_over_several_keys(file: Path) -> None:
    error = refusal(file, 'party = "a"\nloud = true\n')
    assert error.what == "`loud` needs at least one `peer`"


@given(secret=st.text("abcdefgh", min_size=12))
def test_values_are_never_repeated(
    tmp_path_factory: pytest.TempPathFactory, secret: str
) -> None:
    file = tmp_path_factory.mktemp("s") / "program.toml"
    text = f'party = "a"\nmode = "{secret}"\nshare = "{secret}"\nzzz = "{secret}"\n'
    assert secret not in str(refusal(file, text))


def test_a_syntax_error_names_the_line(file: Path) -> None:
    assert "line 2" in refusal(file, 'party = "a"\nmode : 1\n').what


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes("party = '银行'".encode("gb18030"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(file, Program)


def test_a_file_that_does_not_exist(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist.*Remedy: Create it"):
        load(file, Program)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, Program)
