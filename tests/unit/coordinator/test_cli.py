"""The one command: what it lists, imports, prints and ends with."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints, version

import pytest

from veilscore.runtime import cli

GROUP = "veilscore.commands"
HERE = "tests.unit.coordinator.sample_commands"


@pytest.fixture(autouse=True)
def _entries(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        [
            EntryPoint("work", f"{HERE}:work", GROUP),
            EntryPoint("part", f"{HERE}:app", GROUP),
            EntryPoint("train", "not.there:train", GROUP),
        ]
    )
    monkeypatch.setattr(cli, "_entries", lambda: entries)


def run(*arguments: str) -> int:
    """Return the exit code."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_help_lists_commands_without_importing_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    # what the product knows comes first, with its line of help
    assert [line.split()[0] for line in listed] == ["train", "part", "work"]
    assert "Propose a training run" in listed[0]


def test_a_function_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("work", "7") == 0
    assert capsys.readouterr().out == "7\n"
    assert run("work", "--json", "7") == 0
    assert json.loads(capsys.readouterr().out) == {"number": 7}


def test_the_commands_of_an_app_are_a_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("part", "take", "80") == 3
    told = capsys.readouterr()
    assert told.out == ""
    # one sentence, its brackets not taken for markup
    assert told.err == "Error [here]:1: port 80 is held. Remedy: Wait.\n"


def test_what_others_have_said_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("part", "hear") == 1
    no = "\ufffd"
    assert capsys.readouterr().err == (
        f"Error {no}]0;owned{no}{no}[2J{no}31mno{no}{no}\u3000线. Remedy: Wait\n.\n"
    )


def test_an_error_is_json_if_the_command_was_asked_for_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("work", "--json", "--", "-1") == 8
    told = capsys.readouterr()
    assert told.out == ""
    assert json.loads(told.err) == {
        "error": {
            "code": "run-failed",
            "what": "step counts: data",
            "party": "bank",
            "place": "",
            "remedy": "",
        }
    }


def test_debug_shows_where_an_error_comes_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("part", "take", "80") == 3
    assert "Traceback" not in capsys.readouterr().err
    assert run("--debug", "part", "take", "80") == 3
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "sample_commands.py" in told
    assert told.endswith("Error [here]:1: port 80 is held. Remedy: Wait.\n")


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.main(["work", "0"])


@pytest.mark.parametrize("arguments", [["nope"], ["work"], ["work", "x"], ["--nope"]])
def test_wrong_usage_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.split()[-1] == version("veilscore")


HEAVY = {"flwr", "torch", "grpc", "numpy", "sklearn", "fastapi"}


def imported_by(*arguments: str) -> set[str]:
    """Run the real command in a new process; return its top-level modules."""
    code = (
        "import sys\nfrom veilscore.runtime.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('modules', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("modules ")[2].split())


def test_what_a_command_does_not_need_is_not_imported() -> None:
    assert not imported_by("--help") & HEAVY
    assert not imported_by("audit", "verify", "nowhere") & {"flwr", "torch", "grpc"}
