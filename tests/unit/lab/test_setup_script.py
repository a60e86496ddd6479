"""setup.sh takes a CPU build of PyTorch where pip finds one, and warns where not.

The real script and the real pip, with small wheels of these names in a folder.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIZE = 60_000_000  # bytes of what stands for CUDA
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "veilscore"
version = "1"
[project.optional-dependencies]
parquet = []
dp = []
"""
# Builds nothing: what follows PyTorch is not the subject here.
BACKEND = """
import zipfile
INFO = "veilscore-1.dist-info/"
def build_editable(folder, settings=None, metadata=None):
    name = "veilscore-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as file:
        file.writestr(INFO + "METADATA", "Metadata-Version: 2.1\\nName: veilscore\\n"
            "Version: 1\\nProvides-Extra: parquet\\nProvides-Extra: dp\\n")
        file.writestr(INFO + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\n"
            "Root-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(INFO + "RECORD", "")
    return name
"""


def wheel(folder: Path, name: str, version: str, *needs: str, size: int = 0) -> Path:
    """Write a wheel that holds nothing but its needs and padding."""
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {need}\n" for need in needs)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        )
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        file.writestr(f"{name}/padding", bytes(size))
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return a folder with the standard build, as the public index has it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "torch", "2.13.0", "nvidia-cublas")
    wheel(folder, "nvidia_cublas", "13.1", size=SIZE)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a checkout with an environment in which there is only pip."""
    tree = tmp_path / "tree"
    for name in ("coordinator", "deploy", "keys", "models", "node", "protos"):
        (tree / name).mkdir(parents=True)
    for name in ("setup.sh", "cuda_in_plan.py"):
        (tree / "deploy" / name).write_bytes((ROOT / "deploy" / name).read_bytes())
    (tree / "deploy" / "setup.sh").chmod(0o755)
    (tree / "pyproject.toml").write_text(PROJECT)
    (tree / "backend.py").write_text(BACKEND)
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", tree / ".venv"], check=True
    )
    (packages,) = (tree / ".venv").glob("lib/python3.*/site-packages")
    (ours,) = {Path(each) for each in sys.path if (Path(each) / "pip").is_dir()}
    for found in (ours / "pip", *ours.glob("pip-*.dist-info")):
        (packages / found.name).symlink_to(found)
    return tree


def set_up(
    tree: Path, wheels: Path, settings: Mapping[str, str] | None = None
) -> tuple[str, str, set[str]]:
    """Run the script; return what it said, what it warned of, and what is there."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PIP_") and name not in {"TORCH", "PYTHON"}
    }
    environment |= {
        "PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        **(settings or {}),
    }
    done = subprocess.run(
        [tree / "deploy" / "setup.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    there = (tree / ".venv").glob("lib/python3.*/site-packages/*.dist-info")
    return done.stdout, done.stderr, {each.name for each in there}


def test_cuda_is_told_with_its_size_before_it_is_there(
    tree: Path, wheels: Path
) -> None:
    said, warned, there = set_up(tree, wheels)
    assert "CPU build" in said
    assert "only the build of PyTorch with CUDA" in warned
    assert "2 packages, 0.1 GB to download" in warned
    assert "PIP_EXTRA_INDEX_URL=URL make demo" in warned
    assert "make demo TORCH=/path/to.whl" in warned
    assert "torch-2.13.0.dist-info" in there


def test_a_cpu_build_beside_one_with_cuda_is_taken(tree: Path, wheels: Path) -> None:
    wheel(wheels, "torch", "2.13.0+cpu")
    wheel(wheels, "torch", "2.13.0+cu130", "nvidia-cublas")
    _, warned, there = set_up(tree, wheels)
    assert "CUDA" not in warned
    assert "torch-2.13.0+cpu.dist-info" in there
    assert not any(name.startswith("nvidia") for name in there)


def test_a_build_that_is_named_is_taken_as_it_is(tree: Path, wheels: Path) -> None:
    other = wheels.parent / "other"
    other.mkdir()
    named = wheel(other, "torch", "2.12.0+cpu")
    _, warned, there = set_up(tree, wheels, {"TORCH": str(named)})
    assert "CUDA" not in warned
    assert "torch-2.12.0+cpu.dist-info" in there
    # Nor does pip look for another when there is one already.
    (tree / ".venv" / ".ready-run").unlink()
    _, warned, there = set_up(tree, wheels.parent / "none", {"TORCH": "torch>=2.6"})
    assert "CUDA" not in warned
    assert "torch-2.12.0+cpu.dist-info" in there
