"""In ``cross`` every holder takes rows and sends rows, and none waits in a circle."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import numpy as np
import pytest

from tests.protocol.conduct import DeadlockError, Talk, conduct
from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.protocol.streams import RING, held, packed, taking, under_way
from tests.sample_contract import sample_contract
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.row_stream import AHEAD, RowStream, Tally
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.models.vertical.script import Await, Script, drive
from veilscore.node.training.mailbox import Mailbox
from veilscore.v1.training_pb2 import TrainingMessage


def crossing(names: tuple[str, ...], part_rows: int) -> dict[str, FeatureHolder]:
    """Return feature holders that have their WoE and are about to do ``cross``."""
    terms, ring = Terms(sample_contract((*names, "bank"))), PlainRing()
    rng = np.random.default_rng(1)
    holders: dict[str, FeatureHolder] = {}
    for at, name in enumerate(names):
        codes = rng.integers(0, 4, (95, 1 + at)).astype(np.uint16)
        labels = tuple(f"{name}{column}" for column in range(1 + at))
        columns = RunColumns(labels, codes, (4,) * (1 + at))
        masks = RingMasks(name, names)
        holder = FeatureHolder(
            name, terms, columns, ring, dict.fromkeys(names, ring), masks, part_rows
        )
        holder._woe = [[-300, 20, 100, 900]] * (1 + at)  # pyright: ignore[reportPrivateUsage] - as if counted
        holders[name] = holder
    return holders


def at_the_bank(names: tuple[str, ...], found: dict[str, TrainingMessage]) -> Script:
    found.update((yield Await("cross_shares", names)))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_cross_moments_end_whoever_goes_first(count: int) -> None:
    names = ("agency", "bureau", "market", "tax")[:count]
    for order in permutations(names):
        holders, found = crossing(names, 10), dict[str, TrainingMessage]()
        scripts: dict[str, Script] = {name: holders[name].cross() for name in order}
        said = conduct({**scripts, "bank": at_the_bank(names, found)})
        for history in under_way(said).values():
            assert (max(history), history[-1]) == (AHEAD, 0)
        for owner, other in ((a, b) for a in names for b in names if a < b):
            assert moments(found, owner, other) == moments_in_clear(
                holders[owner], holders[other]
            )


def moments(found: dict[str, TrainingMessage], owner: str, other: str) -> list[int]:
    """Add the halves of a pair; one packed sum a column of the other."""
    halves = [
        RING.decode(share.residues)
        for message in found.values()
        for share in message.cross_shares.shares
        if (share.key_owner, share.other) == (owner, other)
    ]
    return [sum(pair) % MODULUS for pair in zip(*halves, strict=True)]


def moments_in_clear(owner: FeatureHolder, other: FeatureHolder) -> list[int]:
    rows = slice(0, 95)
    mine, theirs = (
        holder._rotated_rows(rows)  # pyright: ignore[reportPrivateUsage]
        for holder in (owner, other)
    )
    (group,) = owner._packed_rows().layout.pack(mine)  # pyright: ignore[reportPrivateUsage]
    return [
        sum(a * int(b) for a, b in zip(group, column, strict=True)) % MODULUS
        for column in theirs.T
    ]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_they_end_with_real_mailboxes_in_threads_of_their_own(count: int) -> None:
    names = ("agency", "bureau", "market", "tax")[:count]
    boxes = {name: Mailbox() for name in (*names, "bank")}
    holders, found = crossing(names, 3), dict[str, TrainingMessage]()
    scripts: dict[str, Script] = {name: holders[name].cross() for name in names}
    scripts["bank"] = at_the_bank(names, found)

    def play(name: str) -> None:
        drive(
            scripts[name],
            send=lambda action: boxes[action.to].put(name, action.message),
            wait=lambda asked: boxes[name].take(asked.kind, asked.senders, 60),
            show=lambda _: None,
        )

    with ThreadPoolExecutor(len(scripts)) as pool:
        list(pool.map(play, scripts))
    assert found.keys() == set(names)
    for box in boxes.values():
        box.check_empty()


def test_the_label_holder_waits_as_long_as_all_streams_before_it_take() -> None:
    names = ("agency", "bureau", "market")
    train = (np.arange(95) % 2).astype(np.int8)
    labels = Labels(train, np.full(95, -1, np.int8))
    terms = Terms(sample_contract((*names, "bank")))
    bank = Talk(LabelHolder("bank", terms, held(95), labels, RING, 10).cross())
    bank.begin()
    assert bank.waits == Await("cross_shares", names, parts=2 * 10)


def test_who_sent_its_own_rows_first_would_wait_for_ever() -> None:
    """The order of ``cross`` is what prevents it: with another, three are stuck."""
    rows, names = 95, ("agency", "bureau", "market")

    def exchange(name: str, *, own_first: bool) -> Script:
        later = tuple(other for other in names if other > name)
        tally = Tally(rows * 3)
        own = RowStream(held(rows), 10).send(later, RING, packed(rows, 2), tally)
        if own_first and later:
            yield from own
        for other in names:
            if other < name:
                yield from taking(other, rows, 10, tally)
        if not own_first and later:
            yield from own
        yield tally.add(tally.total - tally.done)

    conduct({name: exchange(name, own_first=False) for name in names})
    with pytest.raises(DeadlockError):
        conduct({name: exchange(name, own_first=True) for name in names})
