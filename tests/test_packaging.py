"""The namespace, the wheel's content and what must never be imported."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

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
