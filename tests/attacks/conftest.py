"""Attacks tell what they got: pytest's summary lists every figure beside its bound."""

from collections.abc import Callable

import pytest

Tell = Callable[[str, object, object], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return a function that records what an attack got and what it may get."""

    def recorded(what: str, got: object, bound: object) -> None:
        record_property("attack", f"{what}: {got} (bound {bound})")

    return recorded
