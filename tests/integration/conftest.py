"""Tests here watch processes and connections, so nothing may run beside them."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder ``alone``, except those that time nothing."""
    for item in items:
        here = Path(__file__).parent in item.path.parents
        pair = item.get_closest_marker("long") or item.get_closest_marker("chaos")
        if here and pair is None:
            item.add_marker("alone")
