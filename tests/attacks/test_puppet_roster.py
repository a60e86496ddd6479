"""H4: a feature holder that is none, so that a partner's part is left by subtraction.

A node joins under a roster of registered data holders and their keys only. Holders that
were told different rosters have masks that do not cancel. A puppet without data is
found by an honest label holder; that a bank's own puppet brings data of its own cannot
be seen, and is what ``min_independent`` is for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, begin
from tests.protocol.score_world import START, People, World
from tests.protocol.test_stopped_runs import RUN, Scene
from tests.sample_contract import sample_contract
from veilscore.fault import Fault
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.run import RunColumns
from veilscore.node.columns import Columns
from veilscore.node.entities import Entities
from veilscore.node.training.alignment import Alignment
from veilscore.node.training.run_keys import RunKeys
from veilscore.node.training.surroundings import Surroundings
from veilscore.node.training.vertical import VerticalPart
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import RosterEntry, RunContract

# -- rosters that no registry holds ----------------------------------------------------

Change = Callable[[RunContract, People], object]


def other_order(contract: RunContract, _: People) -> None:
    contract.roster.append(contract.roster.pop(0))


def twice(contract: RunContract, _: People) -> None:
    contract.roster.insert(1, contract.roster[1])


def other_key(contract: RunContract, _: People) -> None:
    contract.roster[1].fingerprint = Signer.generate().verify_key.fingerprint


def key_of_another(contract: RunContract, people: People) -> None:
    contract.roster[1].fingerprint = people.signers["market"].verify_key.fingerprint


def no_key(contract: RunContract, _: People) -> None:
    contract.roster[1].ClearField("fingerprint")


def without_data(contract: RunContract, people: People) -> None:
    """The broker may ask for scores and holds nothing."""
    key = people.signers["broker"].verify_key
    contract.roster[1].CopyFrom(
        RosterEntry(party="broker", fingerprint=key.fingerprint)
    )


def unregistered(contract: RunContract, _: People) -> None:
    key = Signer.generate().verify_key
    contract.roster.add(party="puppet", fingerprint=key.fingerprint)


def no_label_holder(contract: RunContract, _: People) -> None:
    contract.label_holder = "hub"


ROSTERS: dict[str, tuple[Change, str]] = {
    "in another order": (other_order, "roster is not in order"),
    "a party twice": (twice, "roster is not in order"),
    "a label holder that is not on it": (no_label_holder, "roster is not in order"),
    "a key of its own": (other_key, "not the registered one"),
    "another's key": (key_of_another, "not the registered one"),
    "no key": (no_key, "not the registered one"),
    "a party without data": (without_data, "a party that holds no data"),
    "a party that nobody registered": (unregistered, "puppet"),
}


def attempt(scene: Scene, change: Change) -> str:
    """Return why the bank's node does not join under a roster; "" if it does."""
    contract = scene.contract(RUN)
    change(contract, scene.people)
    try:
        scene.step("join", RUN, contract.SerializeToString(deterministic=True))
    except Fault as fault:
        return str(fault)
    return ""


def test_a_node_joins_under_no_roster_but_the_registrys(
    hub: World, people: People, tmp_path: Path, tell: Tell
) -> None:
    scene = Scene(hub, people, tmp_path / "runs.db")
    scene.open("automatic")
    said = {name: attempt(scene, change) for name, (change, _) in ROSTERS.items()}
    joined = [name for name, why in said.items() if not why]
    tell("H4 made-up rosters that a node joins", f"{len(joined)} of {len(said)}", 0)
    assert joined == []
    for name, (_, reason) in ROSTERS.items():
        assert reason in said[name]
    assert scene.keys == []  # none was published
    assert attempt(scene, lambda _, __: None) == ""


# -- two rosters -----------------------------------------------------------------------

HOLDERS, PUPPET = ("bank", "bureau", "market"), "puppet"
SIGNERS = {name: Signer.generate() for name in (*HOLDERS, "hub", PUPPET)}
COLUMNS = RunColumns(("x",), np.array([[0], [1]], dtype=np.uint16), (2,))


def _no_script(script: object) -> NoReturn:
    raise AssertionError(f"{script} is no part of meeting")


@dataclass
class Meeting:
    """Parts of one run, each under the contract that its node was shown."""

    keys: dict[str, PrivateKey]
    registry: Registry
    workers: PaillierWorkers

    def masks(self, told: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
        """Return the feature holders' masks; ``told`` is each one's roster."""
        published: list[SignedKey] = []
        parts = {
            name: self._part(name, roster, published) for name, roster in told.items()
        }
        for part in parts.values():
            part.keys.publish()
        modulus = self.keys["bank"].public.n
        found: dict[str, list[int]] = {}
        for name in ("bureau", "market"):
            parts[name].keys.meet()
            role = parts[name].take_role(Alignment(np.arange(2), 2), COLUMNS)
            assert isinstance(role, FeatureHolder)
            found[name] = role.masks.residues("evaluate", 50, modulus)
        return found

    def _part(
        self, name: str, roster: Sequence[str], published: list[SignedKey]
    ) -> VerticalPart:
        label_holder = "bank" if "bank" in roster else PUPPET
        prints = self.registry.fingerprints()
        contract = sample_contract(roster, prints, label_holder=label_holder)
        around = Surroundings(
            party=name,
            coordinator="hub",
            signer=SIGNERS[name],
            registry=self.registry,
            private_key=self.keys[name],
            workers=self.workers,
            source=Columns(
                Entities.of(()), (), np.zeros(0, np.int8), np.zeros(0, np.bool_)
            ),
            send=lambda _party, _data: None,
            publish=published.append,
            directory=lambda _purpose: published,
            clock=lambda: START,
            step_timeout_s=1.0,
            min_rows=1,
        )
        keys = RunKeys(around, contract, contract.SerializeToString())
        return VerticalPart(around, contract, keys, _no_script)


@pytest.fixture(scope="module")
def meeting() -> Iterator[Meeting]:
    keys = {name: PrivateKey.generate(2048) for name in SIGNERS}
    records = [
        PartyRecord(
            name,
            frozenset({Role.COORDINATOR if name == "hub" else Role.DATA_HOLDER}),
            signer.verify_key,
            "",
            date(2026, 3, 1),
            paillier=keys[name].certify(name),
        )
        for name, signer in SIGNERS.items()
    ]
    registry = Registry(1, tuple(records), SIGNERS["hub"].verify_key)
    with PaillierWorkers(0) as workers:
        yield Meeting(keys, registry, workers)


def uncancelled(masks: dict[str, list[int]], modulus: int) -> int:
    """Return how many masks of the two holders do not add up to zero."""
    return sum(
        (one + two) % modulus != 0
        for one, two in zip(masks["bureau"], masks["market"], strict=True)
    )


def test_masks_of_two_rosters_do_not_cancel(meeting: Meeting, tell: Tell) -> None:
    """The market was told of a fourth that hides its part, or of another bank."""
    modulus = meeting.keys["bank"].public.n
    everybody = dict.fromkeys((*HOLDERS, PUPPET, "hub"), HOLDERS)
    assert uncancelled(meeting.masks(everybody), modulus) == 0
    left = 0
    for roster in ((*HOLDERS, PUPPET), ("bureau", "market", PUPPET)):
        left += uncancelled(meeting.masks({**everybody, "market": roster}), modulus)
    tell("H4 masks that cancel between two rosters", f"{100 - left} of 100", 0)
    assert left == 100


# -- a puppet without data -------------------------------------------------------------

ROWS = 3000
RNG = np.random.default_rng(4)
BAD = RNG.random(ROWS) < 0.2
VARIED = RNG.integers(0, 5, (ROWS, 1)).astype(np.uint16)


def constant(*codes: int) -> NDArray[np.uint16]:
    return np.tile(np.array(codes, dtype=np.uint16), (ROWS, 1))


def nearly() -> NDArray[np.uint16]:
    """Two rows of its own bin: too few to be counted, so pooled with the rest."""
    codes = constant(1)
    codes[:2] = 2
    return codes


PUPPETS = {
    "one constant column": constant(3),
    "five constant columns": constant(0, 1, 2, 3, 4),
    "rows that it does not know": constant(0),
    "a bin that no count is released of": nearly(),
}


def moments(codes: NDArray[np.uint16]) -> None:
    """Let the label holder collect moments, also of a holder of these columns."""
    names = tuple(f"c{at}" for at in range(codes.shape[1]))
    columns = {
        "bank": RunColumns(("own",), VARIED, (5,)),
        "bureau": RunColumns(("x",), VARIED[::-1], (5,)),
        PUPPET: RunColumns(names, codes, (5,) * len(names)),
    }
    run = begin(DataSet("bank", columns, np.zeros(ROWS, np.bool_), BAD))
    run.play("counts")
    run.play("moments")


def test_a_puppet_without_data_is_named_before_anything_is_solved(tell: Tell) -> None:
    named = 0
    for codes in PUPPETS.values():
        with pytest.raises(
            ProtocolError, match="tell no row of the run from another"
        ) as caught:
            moments(codes)
        named += caught.value.party == PUPPET
    tell("H4 puppets without data that go unnamed", len(PUPPETS) - named, 0)
    assert named == len(PUPPETS)


def test_a_holder_of_one_column_that_varies_is_none() -> None:
    moments(np.hstack([constant(3), VARIED, constant(1)]))
