"""H5: a coordinator that serves another key under a party's name.

Nobody seals to it: a node keeps the registry it had, says so to its operator, and to
the owner of the name too. Without the rule that keys stay, only pins would help.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.conftest import Tell
from veilscore.keys.errors import RegistryError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.node.trusted_registry import TrustedRegistry

NAMES = ("bank", "bureau", "hub", "market")
SIGNERS = {name: Signer.generate() for name in NAMES}
ROGUE = Signer.generate()
Records = tuple[PartyRecord, ...]


def record(name: str, signer: Signer | None = None) -> PartyRecord:
    role = Role.COORDINATOR if name == "hub" else Role.DATA_HOLDER
    key = (signer or SIGNERS[name]).verify_key
    return PartyRecord(name, frozenset({role}), key, "", date(2026, 3, 1))


HONEST = tuple(record(name) for name in NAMES)


def signed(records: Records, version: int) -> bytes:
    return Registry.sign(records, SIGNERS["hub"], version)


def registry(records: Records, version: int) -> Registry:
    hub = SIGNERS["hub"].verify_key.fingerprint
    return Registry.load(signed(records, version), hub)


def kept_by_the_bureau(file: Path) -> TrustedRegistry:
    """Return what the bureau's node keeps, with the market pinned."""
    pins = {name: SIGNERS[name].verify_key.fingerprint for name in ("bureau", "market")}
    return TrustedRegistry(registry(HONEST, 3), file, pins)


@pytest.fixture
def node(tmp_path: Path) -> TrustedRegistry:
    return kept_by_the_bureau(tmp_path / "registry.json")


def substituted(name: str) -> Records:
    return tuple(
        replace(each, key=ROGUE.verify_key) if each.name == name else each
        for each in HONEST
    )


ATTACKS: dict[str, Callable[[], bytes]] = {
    "another key for a party that is pinned": lambda: signed(substituted("market"), 4),
    "another key for one that is only known": lambda: signed(substituted("bank"), 4),
    "another key for the node itself": lambda: signed(substituted("bureau"), 4),
    "a party left out, to come back": lambda: signed(HONEST[1:], 4),
    "an older registry": lambda: signed(HONEST, 2),
}


def believes(node: TrustedRegistry, served: bytes) -> bool:
    before = node.current
    try:
        node.take(served)
    except RegistryError:
        return node.current is not before
    return True


def test_a_substituted_key_is_not_believed_and_shown(
    tmp_path: Path, tell: Tell
) -> None:
    files = {name: tmp_path / f"{at}.json" for at, name in enumerate(ATTACKS)}
    nodes = {name: kept_by_the_bureau(file) for name, file in files.items()}
    believed = [name for name, make in ATTACKS.items() if believes(nodes[name], make())]
    told = f"{len(believed)} of {len(ATTACKS)}"
    tell("H5 registries with substituted keys that a node believed", told, 0)
    assert believed == []
    for name, node in nodes.items():
        assert node.alarm is not None
        assert not files[name].exists()
        assert node.take(signed((*HONEST, record("tax", ROGUE)), 5))
        assert node.alarm is None


def test_a_key_stays_known_over_a_restart(
    node: TrustedRegistry, tmp_path: Path, tell: Tell
) -> None:
    """The tax office came after the kit; its key cannot be replaced either."""
    tax = Signer.generate()
    assert node.take(signed((*HONEST, record("tax", tax)), 4))
    again = TrustedRegistry(registry(HONEST, 3), tmp_path / "registry.json", {})
    with pytest.raises(RegistryError) as caught:
        again.take(signed((*HONEST, record("tax", ROGUE)), 5))
    assert caught.value.party == "tax"
    believed = again.current.party("tax").key
    tell("H5 substituted keys that a node believed", int(believed != tax.verify_key), 0)
    assert believed == tax.verify_key


def test_a_new_kit_that_contradicts_what_was_known_stops_the_node(
    node: TrustedRegistry, tmp_path: Path
) -> None:
    assert node.take(signed(HONEST, 4))
    with pytest.raises(RegistryError, match="bank"):
        TrustedRegistry(
            registry(substituted("bank"), 6), tmp_path / "registry.json", {}
        )


def test_what_is_new_is_taken_over(node: TrustedRegistry) -> None:
    assert not node.take(signed(HONEST, 3))
    demoted = (*HONEST[:3], replace(HONEST[3], roles=frozenset()))
    assert node.take(signed(demoted, 4))
    assert node.current.version == 4
