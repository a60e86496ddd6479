"""The namespace, the wheel, and what must never be imported."""

import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

import veilscore.fault

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("node", "coordinator", "models", "keys", "protos", "deploy")


def test_the_namespace_is_the_six_source_roots_and_nothing_else() -> None:
    namespace = sys.modules["veilscore"].__path__
    assert {Path(path) for path in namespace} == {
        ROOT / folder / "veilscore" for folder in SOURCES
    }
    for path in namespace:
        assert not (Path(path) / "__init__.py").exists()
    assert importlib.metadata.version("veilscore")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as deploy/README.md does, offline, and unpack it."""
    place = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    command = [*build, "--quiet", *offline, "--wheel-dir", str(place), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = place.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(place / "unpacked")
    return place / "unpacked"


def test_the_wheel_holds_the_source_roots_and_the_licence(unpacked: Path) -> None:
    expected = {
        path.relative_to(ROOT / folder)
        for folder in SOURCES
        for path in (ROOT / folder / "veilscore").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = {
        path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()
    }
    about = Path(f"veilscore-{importlib.metadata.version('veilscore')}.dist-info")
    added = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert files == expected | {about / name for name in added}


def test_the_wheel_works_without_the_sources(unpacked: Path) -> None:
    """Without ``site`` nothing leads to the sources that are installed to be edited."""
    path = [str(unpacked), sysconfig.get_path("purelib")]
    code = (
        f"import sys; sys.path += {path!r}\n"
        "import veilscore; print(*veilscore.__path__)\n"
        "from veilscore.lab.lab_file import read_lab, shipped_labs\n"
        "print(*(read_lab(name).name for name in shipped_labs()))\n"
        "from veilscore.runtime.cli import main; main(['node', 'run', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=unpacked,
    )
    found, labs, told = done.stdout.split("\n", 2)
    assert found == str(unpacked / "veilscore")
    assert labs.split() == [
        path.stem for path in sorted((ROOT / "deploy/veilscore/lab/labs").iterdir())
    ]
    assert "Usage: veilscore node run" in told


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in SOURCES
        for path in (ROOT / folder / "veilscore").rglob("*.py")
        if "_pb2" not in path.name
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_a_vertical_run_never_imports_torch() -> None:
    """The quick half; ``test_lab_run`` looks at every process of a running lab."""
    code = (
        "import sys, veilscore.node.service, veilscore.node.operator, "
        "veilscore.coordinator.server_app, veilscore.models.vertical.label_holder;"
        "raise SystemExit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_only_the_flower_package_uses_flowers_internals() -> None:
    public = {"app", "clientapp", "serverapp"}
    for folder in SOURCES:
        for path in (ROOT / folder / "veilscore").rglob("*.py"):
            if "runtime/flower" in path.as_posix():
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                words = line.split()
                if words[:1] in (["from"], ["import"]) and words[1].startswith("flwr"):
                    parts = words[1].split(".")
                    assert len(parts) == 2, f"{path}: {line}"
                    assert parts[1] in public, f"{path}: {line}"


def test_faults_read_as_one_sentence() -> None:
    fault = veilscore.fault.Fault(
        "not a number", party="bank", place="age, row 3", remedy="correct the cell"
    )
    assert str(fault) == "bank, age, row 3: not a number. Remedy: correct the cell"
