"""Whose checkpoints to believe (C2SP tlog-policy): logs, witnesses, and a quorum.

A policy is a text file that its reader chose: a checkpoint counts if one of these logs
signed it and enough of these witnesses cosigned it. With ``quorum none`` the log's word
is enough, and a log that shows two versions of itself goes unnoticed by whoever sees
one of them.

The file is public. Nobody but its reader may change it, or it protects from nothing.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from veilscore.keys import files
from veilscore.keys.errors import (
    InvalidKeyError,
    LogPolicyError,
    ProofError,
    QuorumError,
)
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.cosignature import WitnessKey, cosigned_at
from veilscore.keys.tlog.note import NoteKey, text_of

_NONE = "none"
_BLANK = re.compile(r"[ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MOST_GROUPS = 64  # the specification asks for 32
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class KnownWitness:
    """A witness, and where it takes checkpoints; empty: nobody here needs to know."""

    key: WitnessKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed what ``threshold`` of its members have."""

    threshold: int
    members: tuple[str, ...]


@dataclass(slots=True)
class LogPolicy:
    """What a policy file says."""

    logs: dict[str, NoteKey] = field(default_factory=dict[str, NoteKey])  # by origin
    witnesses: dict[str, KnownWitness] = field(default_factory=dict[str, KnownWitness])
    quorum: str = ""
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    digest: bytes = b""  # SHA-256 of the file

    @classmethod
    def parse(cls, data: bytes) -> "LogPolicy":
        """Read a policy file.

        Raises:
            LogPolicyError: names the line that is wrong.

        """
        # Octets over 127 are opaque; as UTF-8 they are at least legible.
        text = data.decode(errors="surrogateescape")
        reader = _Reader(cls())
        for number, line in enumerate(text.split("\n"), 1):
            words = [word for word in _BLANK.split(line) if word]
            if words and not words[0].startswith("#"):
                try:
                    reader.take(line, words)
                except (_LineError, InvalidKeyError) as error:
                    what = error.what if isinstance(error, InvalidKeyError) else error
                    raise LogPolicyError(str(what), place=f"line {number}") from error
        if not reader.policy.quorum:
            raise LogPolicyError(
                "there is no quorum line",
                remedy="Add `quorum NAME` of a witness or a group, or `quorum none`.",
            )
        reader.policy.digest = hashlib.sha256(data).digest()
        return reader.policy

    @property
    def needs_witnesses(self) -> bool:
        """Whether the log's own signature is not enough."""
        return self.quorum != _NONE

    def open(self, note: str) -> Checkpoint:
        """Return the checkpoint in a note, if it counts.

        Raises:
            ProofError: not signed by one of the logs, or a signature is wrong.
            QuorumError: signed, but not cosigned by enough witnesses.

        """
        checkpoint = self.open_signed(note)
        if not self.is_witnessed(note):
            raise QuorumError(
                f"the checkpoint of {checkpoint.size} entries is not cosigned by the "
                f"quorum {self.quorum!r}"
            )
        return checkpoint

    def open_by(self, log: NoteKey, note: str) -> tuple[str, ...]:
        """Name who cosigned a note of this log, if it counts.

        A note may bear the signatures of several keys: this one must be the policy's.

        Raises:
            ProofError, QuorumError: as ``open``, or the policy knows another key.

        """
        if self.logs.get(log.name) != log:
            raise ProofError(f"the policy knows {log.name!r} not under this key")
        self.open(note)
        return self.cosigners(note)

    def open_signed(self, note: str) -> Checkpoint:
        """Return the checkpoint in a note that one of the logs signed.

        Raises:
            ProofError: not signed by one of the logs, or the signature is wrong.

        """
        origin = text_of(note).partition("\n")[0]
        log = self.logs.get(origin)
        if log is None:
            raise ProofError(f"the policy knows no log {origin[:100]!r}")
        return open_checkpoint(note, log)

    def is_witnessed(self, note: str) -> bool:
        """Say whether a quorum of witnesses has cosigned this note.

        Raises:
            ProofError: malformed, or a cosignature of a known witness is wrong.

        """
        return self.is_quorum(self.cosigners(note))

    def cosigners(self, note: str) -> tuple[str, ...]:
        """Name the witnesses that have cosigned this note.

        Raises:
            ProofError: malformed, or a cosignature of a known witness is wrong.

        """
        return tuple(
            name
            for name, witness in self.witnesses.items()
            if cosigned_at(note, witness.key) is not None
        )

    def is_quorum(self, names: Iterable[str]) -> bool:
        """Say whether these witnesses, by their names here, are enough."""
        return not self.needs_witnesses or self._counts(self.quorum, frozenset(names))

    def _counts(self, name: str, cosigned: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        found = sum(self._counts(member, cosigned) for member in group.members)
        return found >= group.threshold


def read_policy(path: Path) -> LogPolicy:
    """Read a policy file; raises FileError, or LogPolicyError that names it."""
    data = files.read(path)
    try:
        return LogPolicy.parse(data)
    except LogPolicyError as error:
        error.place = f"{path}, {error.place}" if error.place else str(path)
        raise


class _LineError(Exception):
    """Why a line of a policy is wrong."""


class _Reader:
    """Takes a policy line by line; raises _LineError or InvalidKeyError."""

    def __init__(self, policy: LogPolicy) -> None:
        self.policy = policy
        self._keys: set[bytes] = set()
        self._members: set[str] = set()

    def take(self, line: str, words: list[str]) -> None:
        """Take the words of a line that is neither empty nor a comment."""
        if _CONTROL.search(line):
            raise _LineError("a control character")
        match words:
            case ["log", vkey]:
                self._log(NoteKey.parse(vkey))
            case ["log", vkey, _]:
                self._log(NoteKey.parse(vkey))
            case ["witness", name, vkey]:
                self._witness(name, KnownWitness(WitnessKey.parse(vkey)))
            case ["witness", name, vkey, url]:
                self._witness(name, KnownWitness(WitnessKey.parse(vkey), url))
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, members)
            case ["quorum", name]:
                self._quorum(name)
            case _:
                raise _LineError(f"{words[0][:40]!r} with {len(words) - 1} words")

    def _log(self, key: NoteKey) -> None:
        self._once(key.key.raw)
        if key.name in self.policy.logs:
            raise _LineError(f"a second log {key.name!r}")
        self.policy.logs[key.name] = key

    def _witness(self, name: str, witness: KnownWitness) -> None:
        self._once(witness.key.key.raw)
        self._new(name)
        self.policy.witnesses[name] = witness

    def _once(self, raw: bytes) -> None:
        if raw in self._keys:
            raise _LineError("a key that stands in an earlier line")
        self._keys.add(raw)

    def _new(self, name: str) -> None:
        if name == _NONE or self._is_defined(name):
            raise _LineError(f"the name {name[:40]!r} is taken")

    def _is_defined(self, name: str) -> bool:
        return name in self.policy.witnesses or name in self.policy.groups

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        self._new(name)
        if len(self.policy.groups) >= _MOST_GROUPS:
            raise _LineError(f"over {_MOST_GROUPS} groups")
        for member in members:
            if not self._is_defined(member):
                raise _LineError(f"{member[:40]!r} is not defined above")
            if member in self._members:
                raise _LineError(f"{member[:40]!r} is a member already")
            self._members.add(member)
        wanted = {"any": 1, "all": len(members)}.get(threshold)
        if wanted is None and _NUMBER.fullmatch(threshold):
            wanted = int(threshold)
        if wanted is None or wanted > len(members):
            raise _LineError(
                f"{threshold[:40]!r} should be any, all or 1 to {len(members)}"
            )
        self.policy.groups[name] = Group(wanted, tuple(members))

    def _quorum(self, name: str) -> None:
        if self.policy.quorum:
            raise _LineError("a second quorum")
        if name != _NONE and not self._is_defined(name):
            raise _LineError(f"{name[:40]!r} is not defined above")
        self.policy.quorum = name
