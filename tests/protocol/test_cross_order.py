"""In ``cross`` every holder takes rows and sends rows, and none waits in a circle."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest

from tests.protocol.conduct import DeadlockError, Talk, conduct
from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.protocol.streams import RING, held, packed, taking, under_way
from tests.sample_contract import sample_contract
from veilscore.models.errors import ProtocolError
from veilscore.models.script import Await, Script, Send, drive
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.moments import PeerMoments
from veilscore.models.vertical.raking import HEAVIEST, RowWeights
from veilscore.models.vertical.row_stream import AHEAD, RowStream, Tally
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.node.training.mailbox import Mailbox
from veilscore.v1.training_pb2 import CrossOrder, TrainingMessage

MOMENTS = PeerMoments(
    np.eye(1), 1, 1.0, labelled=np.ones(1), bad=np.ones(1), with_own=np.ones((1, 1))
)


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
        # As if counted and told their moments.
        holder._woe = [[-300, 20, 100, 900]] * (1 + at)  # pyright: ignore[reportPrivateUsage]
        weights = rng.integers(0, HEAVIEST + 1, 95).astype(np.uint16)
        holder._raked = RowWeights.of(weights)  # pyright: ignore[reportPrivateUsage]
        holder._centre = rng.integers(-(1 << 18), 1 << 18, 1 + at)  # pyright: ignore[reportPrivateUsage]
        holders[name] = holder
    return holders


def at_the_bank(
    names: tuple[str, ...], order: tuple[str, ...], found: dict[str, TrainingMessage]
) -> Script:
    for name in names:
        told = CrossOrder(parties=order)
        yield Send(name, TrainingMessage(cross_order=told))
    found.update((yield Await("cross_shares", names)))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_cross_moments_end_whoever_goes_first(count: int) -> None:
    names = ("agency", "bureau", "market", "tax")[:count]
    orders = list(permutations(names))
    for order, turns in zip(orders, reversed(orders), strict=True):
        holders, found = crossing(names, 10), dict[str, TrainingMessage]()
        scripts: dict[str, Script] = {name: holders[name].cross() for name in turns}
        said = conduct({**scripts, "bank": at_the_bank(names, order, found)})
        for history in under_way(said).values():
            assert (max(history), history[-1]) == (AHEAD, 0)
        for owner, other in combinations(order, 2):
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
    weights = owner._raked.of_row.astype(np.int64)[:, np.newaxis]  # pyright: ignore[reportPrivateUsage]
    mine = weights * (mine - owner._centre)  # pyright: ignore[reportPrivateUsage]
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
    scripts["bank"] = at_the_bank(names, names[::-1], found)

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
    holder = LabelHolder("bank", terms, held(95), labels, RING, 10)
    holder._peer_moments = {  # pyright: ignore[reportPrivateUsage] - as if they had come
        name: replace(MOMENTS, effective_rows=rows)
        for name, rows in zip(names, (50.0, 90.5, 12.3), strict=True)
    }
    bank = Talk(holder.cross())
    sent = bank.begin()
    assert {send.to for send in sent} == set(names)
    for send in sent:  # whose rows are less like the labelled ones is first
        told = list(send.message.cross_order.parties)
        assert told == ["market", "agency", "bureau"]
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


@pytest.mark.parametrize(
    "order", [(), ("agency",), ("agency", "agency"), ("agency", "bureau", "tax")]
)
def test_an_order_of_other_parties_is_refused(order: tuple[str, ...]) -> None:
    holders = crossing(("agency", "bureau"), 10)
    talk = Talk(holders["agency"].cross())
    talk.begin()
    assert talk.waits == Await("cross_order", ("bank",))
    told = TrainingMessage(cross_order=CrossOrder(parties=order))
    with pytest.raises(ProtocolError, match="an order of other parties") as caught:
        talk.tell({"bank": told})
    assert caught.value.party == "bank"
