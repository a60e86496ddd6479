"""The registry of parties that this node believes in, whatever the coordinator says.

The coordinator signs and serves the registry, so it could put its own key under the
name of a bank. What this node has once accepted stays: a newer version may add parties
and take roles away, but never give another key to a known name, to one that the
operator pinned, or to this node's own. A version that does is refused, and the operator
is told until one comes that does not.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from veilscore.keys import files
from veilscore.keys.errors import RegistryError
from veilscore.keys.registry import Registry

LOG = logging.getLogger(__name__)


class TrustedRegistry:
    """The newest registry that is in order; kept in ``path`` over a restart.

    ``kit`` is the registry this node joined with, ``pins`` are fingerprints by name.
    Raises RegistryError if kit or file contradict the pins or each other.
    """

    def __init__(self, kit: Registry, path: Path, pins: Mapping[str, bytes]) -> None:
        self._path = path
        self._coordinator = kit.coordinator.key.fingerprint
        self._pins = pins
        self.current = kit
        self.alarm: RegistryError | None = None
        """Why the coordinator's present registry is refused, if it is."""
        if path.exists():
            stored = Registry.load(path.read_bytes(), self._coordinator)
            older, newer = sorted((kit, stored), key=lambda each: each.version)
            newer.check_pins(older.fingerprints())
            self.current = newer
        self.current.check_pins(pins)

    def take(self, data: bytes) -> bool:
        """Take over a newer registry; return whether it was one.

        Raises RegistryError or SignatureError if it is not in order, and keeps the
        present one.
        """
        try:
            offered = Registry.load(
                data, self._coordinator, at_least=self.current.version
            )
            offered.check_pins(self.current.fingerprints())
            offered.check_pins(self._pins)
        except RegistryError as fault:
            if self.alarm is None:
                LOG.error("the coordinator's registry is refused: %s", fault)  # noqa: TRY400 - its text says it all
            self.alarm = fault
            raise
        self.alarm = None
        if offered.version == self.current.version:
            return False
        files.replace(self._path, data)
        self.current = offered
        return True
