"""The folder that ``init`` makes for a party: what is the same for all of them."""

import errno
import os
import secrets
from pathlib import Path

from veilscore.keys import files
from veilscore.runtime.errors import ConfigError


def check(folder: Path, party: str) -> None:
    """Raise ConfigError if ``make`` would, and make nothing."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                "the folder is not empty",
                party=party,
                place=str(folder),
                remedy=f"Name a new folder; an existing {party} is never overwritten.",
            )
        there = next(at for at in (folder, *folder.absolute().parents) if at.exists())
        owner = there.stat().st_uid
    except OSError as error:
        raise _unmakeable(folder, party, error.errno) from error
    if not there.is_dir():
        raise _unmakeable(folder, party, errno.ENOTDIR)
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        raise _unmakeable(folder, party, errno.EACCES)
    if there == folder and os.geteuid() not in {0, owner}:  # it is to be closed
        raise _unmakeable(folder, party, errno.EPERM)


def make(folder: Path, party: str) -> None:
    """Make the folder with an empty ``state``; raises ConfigError if it holds anything.

    Only its owner can look inside.
    """
    check(folder, party)
    try:
        (folder / "state").mkdir(mode=0o700, parents=True)
        folder.chmod(0o700)
    except OSError as error:
        raise _unmakeable(folder, party, error.errno) from error


def passphrase_file(folder: Path, given: Path | None) -> Path:
    """Return the passphrase file given, or make one in the folder."""
    if given is not None:
        return given
    made = folder / "passphrase"
    files.create(made, secrets.token_urlsafe(32).encode() + b"\n")
    return made


def as_written(folder: Path, path: Path) -> str:
    """Return a path as a settings file in the folder writes it: relative if inside."""
    here, there = folder.resolve(), path.resolve()
    inside = there.is_relative_to(here)
    return (there.relative_to(here) if inside else there).as_posix()


def _unmakeable(folder: Path, party: str, number: int | None) -> ConfigError:
    return ConfigError(
        f"the folder cannot be made ({os.strerror(number or errno.EIO)})",
        party=party,
        place=str(folder),
        remedy="Name a folder that you may write to.",
    )
