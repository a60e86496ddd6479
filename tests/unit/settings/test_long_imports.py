"""What an import leaves behind is not looked at for garbage, all else is."""

import gc

import pytest

from veilscore.runtime.long_imports import long_imports


def test_garbage_is_looked_for_again_afterwards_also_after_an_error() -> None:
    with long_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), long_imports():
        raise ImportError
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_at_again() -> None:
    gc.unfreeze()
    with long_imports():
        made = [[number] for number in range(1000)]
    assert gc.get_freeze_count() > len(made)
    assert not any(each is made for each in gc.get_objects())
    gc.unfreeze()
