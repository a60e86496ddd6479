"""Bad input at ``run`` and ``doctor``: one error with party, place and remedy.

The real commands on the folders that ``init``, ``admit`` and ``join`` make, each of
them spoilt in one way. An empty intersection is in ``protocol/test_alignment.py``.
"""

import csv
import json
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy_documents import text_of
from tests.unit.coordinator.test_cli import run
from tests.unit.coordinator.test_coordinator_doctor import free_ports
from veilscore.coordinator import config, setup
from veilscore.keys import files
from veilscore.keys.entity_ids import complete_uscc
from veilscore.keys.registry import Role
from veilscore.node import commands
from veilscore.node.setup import NewNode, create

LONG_AGO_S = 800 * 86_400  # before now; certificates live for two years
ROWS = 400
SOURCE = """
[source]
csv = "borrowers.csv"
[source.id]
column = "id"
type = "uscc"
[[source.feature]]
column = "deposit"
kind = "numeric"
[[source.feature]]
column = "sector"
kind = "categorical"
[source.label]
column = "bad"
holdout_share = 0.3
"""

Table = dict[str, list[str]]


def table() -> Table:
    """Return a bank's borrowers, column by column."""
    return {
        "id": [complete_uscc(f"91990000{at:08d}") for at in range(ROWS)],
        "deposit": [str(at % 97) for at in range(ROWS)],
        "sector": ["abcd"[at % 4] for at in range(ROWS)],
        "bad": [str(int(at % 5 == 0)) for at in range(ROWS)],
    }


def wrong_digit(code: str) -> str:
    """Return an id whose check digit is another."""
    return code[:-1] + ("1" if code[-1] == "0" else "0")


@dataclass
class Folder:
    """A party's folder, ready to be spoilt."""

    path: Path
    web_port: int

    @property
    def toml(self) -> Path:
        (found,) = self.path.glob("*.toml")
        return found

    def say(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.toml.read_text()
        assert text.count(old) == 1
        self.toml.write_text(text.replace(old, new))

    def hold(self, **columns: list[str] | None) -> None:
        """Write the table with other columns, or without."""
        found = {**table(), **columns}
        kept = {name: cells for name, cells in found.items() if cells is not None}
        with (self.path / "borrowers.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(kept)
            writer.writerows(zip(*kept.values(), strict=True))


@dataclass(frozen=True)
class Federation:
    """The folders of a coordinator and a bank; nobody of them runs."""

    hub: Folder
    bank: Folder


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    place = tmp_path_factory.mktemp("federation")
    hub_port, flower_port, web_port, node_port, runtime_port = free_ports(5)
    hub = Folder(place / "hub", web_port)
    bank = Folder(place / "bank", node_port)
    now = time.time()
    new = setup.NewCoordinator(hub.path, "127.0.0.1", hub_port, flower_port, web_port)
    fingerprint = setup.create(new, now - LONG_AGO_S)
    settings = config.read(hub.toml)
    shutil.copy(settings.certificate, hub.path / "expired.pem")
    setup.renew(settings, now)
    node = NewNode(
        bank.path, "bank", [Role.DATA_HOLDER], 2048, SOURCE, node_port, runtime_port,
        passphrase_file=None, safe_primes=False,
    )  # fmt: skip
    told = create(node, lambda _: None)
    card = (bank.path / "card.json").read_bytes()
    kit, expired = place / "kit.json", bank.path / "expired.json"
    expired.write_bytes(setup.admit(settings, card, told, now - LONG_AGO_S).kit)
    kit.write_bytes(setup.admit(settings, card, told, now).kit)
    pinned = ("--fingerprint", fingerprint.hex())
    assert run("node", "join", str(kit), "--config", str(bank.toml), *pinned) == 0
    bank.hold()
    return Federation(hub, bank)


@dataclass(frozen=True)
class Case:
    """One way to spoil a folder, and what is said then."""

    name: str
    spoil: Callable[[Folder], object]
    code: int
    check: str  # of doctor; empty: it refuses to begin
    what: str
    place: str  # its end, below the folder
    remedy: str
    party: str = ""  # if not the folder's own


def shared(name: str, code: int) -> list[Case]:
    """Return what can be wrong with the secrets and settings of any party."""
    return [
        Case(
            "unknown key",
            lambda at: at.say("[web]", "[web]\nprot = 1"),
            2, "", "the key `web.prot` is unknown (did you mean `port`?)",
            f"{name}.toml", "Rename `web.prot` to `port`",
        ),
        Case(
            "wrong passphrase",
            lambda at: files.replace(at.path / "passphrase", b"another\n"),
            2, "keystore" if name == "node" else "keys and registry",
            "the passphrase does not open this keystore",
            "keystore", "Check the passphrase file",
        ),
        Case(
            "open passphrase",
            lambda at: (at.path / "passphrase").chmod(0o644),
            2, "private files", "other users of this machine may read",
            "passphrase", "chmod 600",
        ),
        Case(
            "port in use", lambda _: None, code, "ports",
            "is held by another program", "", "configure another port",
        ),
    ]  # fmt: skip


OF_A_NODE = [
    *shared("node", 3),
    Case(
        "expired certificate",
        lambda at: shutil.copy(at.path / "expired.json", at.path / "kit.json"),
        2, "certificate", "the TLS certificate expired on", "kit.json",
        "Hand card.json to the coordinator again",
    ),
    Case(
        "unreachable", lambda _: None, 4, "coordinator", "does not answer",
        "", "the coordinator runs", party="coordinator",
    ),
    Case(
        "missing column", lambda at: at.hold(deposit=None),
        5, "data source", "the declared column is not there",
        "borrowers.csv, column `deposit`", "Correct its name under [source]",
    ),
    Case(
        "duplicate ids",
        lambda at: at.hold(id=[*table()["id"][:-1], table()["id"][6].lower()]),
        5, "data source", f"the first in data rows 7 and {ROWS}",
        "borrowers.csv, column `id`", "Keep one row per entity",
    ),
    Case(
        "check digits",
        lambda at: at.hold(id=[wrong_digit(each) for each in table()["id"]]),
        5, "data source", f"{ROWS} of {ROWS} rows have no valid id",
        "borrowers.csv, column `id`", "clean the ids",
    ),
    Case(
        "third label", lambda at: at.hold(bad=["0", "1", "2"] + ["0"] * (ROWS - 3)),
        5, "data source", "neither 0 nor 1",
        "borrowers.csv, column `bad`, data row 3", "0",
    ),
    Case(
        "one class", lambda at: at.hold(bad=["0"] * ROWS),
        5, "data source", "0 bad", "borrowers.csv, column `bad`", "Export more rows",
    ),
    Case(
        "constant column", lambda at: at.hold(deposit=["7"] * ROWS),
        5, "data source", "every row has the same value",
        "borrowers.csv, column `deposit`", "Remove it from the declared features",
    ),
    Case(
        "all missing", lambda at: at.hold(sector=[""] * ROWS),
        5, "data source", "every cell of the column is missing",
        "borrowers.csv, column `sector`", "remove it from the declared features",
    ),
    Case(
        "bad SQL URL",
        lambda at: at.say('csv = "borrowers.csv"', 'sql = "no url"\ntable = "t"'),
        5, "data source", "not a database URL", "[source]", "dialect",
    ),
]  # fmt: skip

OF_A_COORDINATOR = [
    *shared("coordinator", 3),
    Case(
        "expired certificate",
        lambda at: shutil.copy(at.path / "expired.pem", at.path / "coordinator.pem"),
        2, "certificate", "the TLS certificate expired on", "coordinator.pem",
        "veilscore coordinator renew",
    ),
]  # fmt: skip

CASES = [
    *(("bank", case) for case in OF_A_NODE),
    *(("coordinator", case) for case in OF_A_COORDINATOR),
]


@dataclass
class Spoilt:
    """A folder in which something is wrong, and the commands of its party."""

    party: str
    case: Case
    folder: Folder
    capsys: pytest.CaptureFixture[str]

    def type(self, verb: str, *options: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        part = "coordinator" if self.party == "coordinator" else "node"
        self.capsys.readouterr()
        code = run(part, verb, "--config", str(self.folder.toml), *options)
        told = self.capsys.readouterr()
        return code, told.out, told.err


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].name}")
def spoilt(
    request: pytest.FixtureRequest,
    federation: Federation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Spoilt]:
    party, case = request.param
    whole = federation.hub if party == "coordinator" else federation.bank
    folder = Folder(tmp_path / "folder", whole.web_port)
    shutil.copytree(whole.path, folder.path)
    monkeypatch.setattr(commands, "START_S", 1.0)  # how long a node dials
    handlers = {
        each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)
    }
    case.spoil(folder)
    if case.name == "port in use":
        with socket.create_server(("127.0.0.1", folder.web_port)):
            yield Spoilt(party, case, folder, capsys)
    else:
        yield Spoilt(party, case, folder, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def restarted(party: str, code: int) -> bool:
    """Return whether systemd starts the party's program again after an exit code."""
    name = "coordinator" if party == "coordinator" else "node"
    (line,) = re.findall(
        r"^RestartPreventExitStatus=(.*)$",
        text_of(f"systemd/veilscore-{name}.service"),
        re.MULTILINE,
    )
    return str(code) not in line.split()


def test_run_ends_with_one_error_that_says_what_to_do(spoilt: Spoilt) -> None:
    case = spoilt.case
    code, _, told = spoilt.type("run")
    assert code == case.code
    (line,) = [each for each in told.splitlines() if each.startswith("Error ")]
    assert line.startswith(f"Error {case.party or spoilt.party}, ")
    where, _, remedy = line.partition(". Remedy: ")
    assert case.what in where
    assert f"{case.place}: " in where
    assert case.remedy in remedy
    # What only a person can put right is not tried again for ever.
    assert restarted(spoilt.party, code) == (code in {3, 4})


def test_doctor_finds_it_before_a_run(spoilt: Spoilt) -> None:
    case = spoilt.case
    code, out, told = spoilt.type("doctor", "--json")
    if case.check:
        assert code == 1
        found = {each["check"]: each["error"] for each in json.loads(out)["checks"]}
        error = found[case.check]
    else:
        assert code == case.code
        error = json.loads(told)["error"]
    assert error["party"] == (case.party or spoilt.party)
    assert case.what in error["what"]
    assert error["place"].endswith(case.place)
    assert case.remedy in error["remedy"]


def test_doctor_tells_of_a_column_that_is_nearly_constant(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run over other rows may use it, so the node starts all the same."""
    folder = Folder(tmp_path / "folder", federation.bank.web_port)
    shutil.copytree(federation.bank.path, folder.path)
    folder.hold(deposit=["7"] * (ROWS - 1) + ["8"])
    capsys.readouterr()
    assert run("node", "doctor", "--config", str(folder.toml), "--json") == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    (error,) = [each["error"] for each in checks if each["check"] == "data source"]
    assert "fall into one bin" in error["what"]
    assert error["place"] == "[source], column `deposit`"
    assert error["party"] == "bank"
    assert "Leave the column out" in error["remedy"]


def test_a_federation_in_which_nothing_is_wrong(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, folder in (("coordinator", federation.hub), ("node", federation.bank)):
        capsys.readouterr()
        run(part, "doctor", "--config", str(folder.toml), "--json")
        checks = json.loads(capsys.readouterr().out)["checks"]
        ill = {each["check"] for each in checks if each["error"]}
        of_this_machine = {"disk", "temporary folder", "byte-code"}
        assert ill <= of_this_machine | ({"coordinator"} if part == "node" else set())
