"""Imports that take long: a tenth of their time goes into looking for garbage.

What an import makes stays; so nobody looks meanwhile, nor at any of it afterwards.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def long_imports() -> Generator[None]:
    """Let the body import; not for two threads at once."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
