"""Where optional data sets lie that are never part of this repository."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_shared(rel: str) -> Path:
    """Return the path of a shared file or folder, or skip the test loudly."""
    path = SHARED / rel
    if not path.exists():
        pytest.skip(f"shared data not present: {rel}")
    return path
