"""Encrypted rows in parts: the same sums, never too many under way, nobody stuck."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import numpy as np
import pytest

from tests.protocol.conduct import DeadlockError, LeftOverError, Talk, conduct
from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.protocol.streams import (
    MOST_COLUMNS,
    RING,
    held,
    keeping,
    packed,
    part,
    sending,
    taking,
    under_way,
    whole,
)
from tests.protocol.whole_run import LABEL_HOLDER, People, WholeRun
from tests.sample_contract import sample_contract
from veilscore.models.errors import BoundError, ProtocolError
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.layout import ResidualLayout, ScoreLayout, rotated_bound
from veilscore.models.vertical.row_stream import AHEAD, RowStream, Sums, Tally
from veilscore.models.vertical.run import RESIDUAL_SCALE, RunColumns, Terms
from veilscore.models.vertical.score_shares import collect_scores, send_scores
from veilscore.models.vertical.script import Await, Script, Send, drive
from veilscore.node.errors import TrainingError
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.session import RunSession
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.training_pb2 import (
    Predictor,
    RowsTaken,
    ScoreShare,
    TrainingMessage,
)

COLUMNS = 60  # of a sender: more than fit one plaintext


@pytest.mark.parametrize("rows", [0, 1, 8191, 8192, 8193, 20_000])
@pytest.mark.parametrize("columns", [1, COLUMNS])
def test_parts_add_up_to_the_whole(rows: int, columns: int) -> None:
    found: dict[str, Sums] = {}
    said = conduct(
        {
            "owner": sending(("one", "other"), rows, columns),
            "one": keeping(found, "one", "owner", rows),
            "other": keeping(found, "other", "owner", rows),
        }
    )
    assert len(whole(rows, columns)) == (2 if columns == COLUMNS and rows else 1)
    assert found["one"] == found["other"] == whole(rows, columns)
    parts = [m for _, _, m in said if m.HasField("encrypted_rows")]
    assert len(parts) == 2 * max(1, -(-rows // 8192))


def test_never_more_parts_are_under_way_than_agreed_on() -> None:
    found: dict[str, Sums] = {}
    receivers = ("fast", "late", "slow")
    scripts = {name: keeping(found, name, "owner", 95, 10) for name in receivers}
    scripts["owner"] = sending(receivers, 95, part_rows=10)
    for (sender, _), history in under_way(conduct(scripts)).items():
        assert sender == "owner"
        assert (max(history), history[-1]) == (AHEAD, 0)


def test_the_slowest_receiver_sets_the_pace() -> None:
    owner = Talk(sending(("fast", "slow"), 95, part_rows=10))
    assert len(owner.begin()) == 2 * AHEAD
    assert owner.waits == Await("rows_taken", ("fast", "slow"))
    credit = TrainingMessage(rows_taken=RowsTaken(rows=10))
    sent = owner.tell({"fast": credit, "slow": credit})
    assert [(each.to, each.message.encrypted_rows.first_row) for each in sent] == [
        ("fast", 40),
        ("slow", 40),
    ]


def receive(parts: list[TrainingMessage]) -> None:
    """Take 25 rows in parts of 10 from an owner that sends these."""
    talk = Talk(keeping({}, "holder", "owner", 25, 10))
    talk.begin()
    for message in parts:
        talk.tell({"owner": message})
    assert talk.waits is None


HONEST = [part(0, 10), part(10, 10), part(20, 5)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([HONEST[1]], "from row 10 on where row 0 was due"),
        ([HONEST[0], HONEST[0]], "from row 0 on where row 10 was due"),
        ([HONEST[0], HONEST[2]], "from row 20 on where row 10 was due"),
        ([*HONEST[:2], part(25, 5)], "from row 25 on where row 20 was due"),
        ([part(2**32 - 1, 10)], "from row 4294967295 on where row 0 was due"),
        ([part(0, 10, ciphertexts=9)], "wrong length"),
        ([part(0, 10, ciphertexts=11)], "wrong length"),
        ([part(0, 10, ciphertexts=0)], "wrong length"),
        ([*HONEST[:2], part(20, 10)], "wrong length"),
        ([part(0, 10, columns=0)], "of 0 columns, 1 to 64 may be"),
        ([part(0, 10, columns=65)], "of 65 columns, 1 to 64 may be"),
        ([part(0, 10, columns=COLUMNS)], "wrong length"),
        ([HONEST[0], part(10, 10, columns=1)], "of 1 columns after rows of 2"),
    ],
)
def test_a_part_that_is_not_the_next_is_refused_and_its_sender_named(
    parts: list[TrainingMessage], said: str
) -> None:
    receive(HONEST)
    with pytest.raises(ProtocolError, match=said) as caught:
        receive(parts)
    assert caught.value.party == "owner"


@pytest.mark.parametrize("rows", [0, 9, 20, 2**32 - 1])
def test_an_acknowledgement_of_other_rows_is_refused_and_named(rows: int) -> None:
    owner = Talk(sending(("one", "other"), 25, part_rows=10))
    owner.begin()
    answers = {
        name: TrainingMessage(rows_taken=RowsTaken(rows=taken))
        for name, taken in (("one", 10), ("other", rows))
    }
    with pytest.raises(ProtocolError, match=f"took {rows} encrypted rows") as caught:
        owner.tell(answers)
    assert caught.value.party == "other"


def test_parts_in_another_order_for_another_holder_are_refused_there() -> None:
    def owner() -> Script:
        for at, message in enumerate(HONEST):
            yield Send("one", message)
            yield Send("other", HONEST[1 - at] if at < 2 else message)

    found: dict[str, Sums] = {}
    scripts = {name: keeping(found, name, "owner", 25, 10) for name in ("one", "other")}
    with pytest.raises(ProtocolError, match="where row 0 was due") as caught:
        conduct({**scripts, "owner": owner()})
    assert caught.value.party == "owner"
    assert "other" not in found


# -- rows beyond the last ----------------------------------------------------------


def with_more_rows(action: Send) -> list[Send]:
    """Return a message, and after a part of rows another beyond the last."""
    if not action.message.HasField("encrypted_rows"):
        return [action]
    beyond = TrainingMessage()
    beyond.CopyFrom(action.message)
    beyond.encrypted_rows.first_row = 420
    return [action, Send(action.to, beyond)]


def test_rows_beyond_the_last_end_the_run_and_name_their_sender(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = WholeRun(People.create())
    honest = RunSession._send  # pyright: ignore[reportPrivateUsage]

    def send(session: RunSession, action: Send) -> None:
        liar = session.around.party == LABEL_HOLDER
        for each in with_more_rows(action) if liar else [action]:
            honest(session, each)

    monkeypatch.setattr(RunSession, "_send", send)
    with pytest.raises(TrainingError, match="more messages of kind enc") as caught:
        run.play()
    assert caught.value.party == LABEL_HOLDER
    for session in run.sessions.values():  # all rows were taken before
        assert session.progress == (session.rows, session.rows) != (0, 0)


def test_a_message_left_over_is_noticed_here_too() -> None:
    def owner() -> Script:
        for message in (*HONEST, part(25, 10)):
            yield Send("holder", message)
        for _ in HONEST:
            yield Await("rows_taken", ("holder",))

    scripts = {"owner": owner(), "holder": keeping({}, "holder", "owner", 25, 10)}
    with pytest.raises(LeftOverError):
        conduct(scripts)


# -- nobody waits in a circle --------------------------------------------------------


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


# -- a run that ends in the middle of a stream ---------------------------------------


def lose_the_holder(box: Mailbox) -> None:
    box.lose("holder", "gone")


def stop_the_run(box: Mailbox) -> None:
    box.end("it was stopped")


@pytest.mark.parametrize(
    ("strike", "error", "said"),
    [
        (lose_the_holder, PeerLostError, "gone"),
        (stop_the_run, TrainingError, "it was stopped"),
    ],
)
def test_both_ends_of_a_stream_hear_that_the_run_is_over(
    strike: Callable[[Mailbox], None], error: type[Exception], said: str
) -> None:
    ends = {"owner": Mailbox(), "holder": Mailbox()}
    reached, go_on = threading.Event(), threading.Event()

    def carry(action: Send) -> None:
        if action.message.encrypted_rows.first_row == 60:
            reached.set()
            go_on.wait(60)
        ends[action.to].put("owner", action.message)

    def credit(action: Send) -> None:
        if action.message.rows_taken.rows <= 30:  # the next never leaves
            ends[action.to].put("holder", action.message)

    def play(name: str) -> None:
        owner = name == "owner"
        drive(
            sending(("holder",), 95, part_rows=10)
            if owner
            else keeping({}, "holder", "owner", 95, 10),
            send=carry if owner else credit,
            wait=lambda asked: ends[name].take(asked.kind, asked.senders, 60),
            show=lambda _: None,
        )

    with ThreadPoolExecutor(2) as pool:
        playing = [pool.submit(play, name) for name in ends]
        assert reached.wait(60)
        strike(ends["owner"])
        ends["holder"].end(said)
        go_on.set()
        with pytest.raises(error, match=said):
            playing[0].result(60)
        with pytest.raises(TrainingError, match=said):
            playing[1].result(60)
    for box in ends.values():
        box.discard()
        box.put("owner", HONEST[0])
        box.check_empty()


# -- residuals, scores, and what is not cut into parts -------------------------------


def test_sums_of_residuals_fit_or_are_refused_before_anything_is_sent() -> None:
    rows = 4_000_000
    found = ResidualLayout.plan(rows, MOST_COLUMNS, MODULUS)
    extreme = rows * rotated_bound(MOST_COLUMNS) * RESIDUAL_SCALE
    assert found.read(extreme, "x") == extreme
    assert found.read(-extreme, "x") == -extreme
    assert extreme < MODULUS // 2
    with pytest.raises(ProtocolError, match="out of its range") as caught:
        found.read(extreme + 1, "bureau")
    assert caught.value.party == "bureau"
    with pytest.raises(BoundError, match="do not fit a key of 61 bits"):
        ResidualLayout.plan(rows, MOST_COLUMNS, 2**61 - 1)
    assert found.pack(np.array([[3], [-4]])) == [[3, -4]]


@pytest.mark.parametrize("rows", [1, 8184, 8185, 20_000])
def test_scores_by_parts_are_the_scores_of_all_rows(rows: int) -> None:
    names, rng = ("bureau", "market"), np.random.default_rng(rows)
    scores = {name: rng.integers(-900, 900, rows) for name in names}
    found: list[float] = []

    def bank() -> Script:
        found.extend((yield from collect_scores(names, RING, rows)))

    sent = {
        name: send_scores("bank", RING, RingMasks(name, names), "final", scores[name])
        for name in names
    }
    said = conduct({**sent, "bank": bank()})
    assert found == np.sum([*scores.values()], axis=0).tolist()
    assert len(said) == len(names)


@pytest.mark.parametrize("size", [0, 255, 257, 512])
def test_a_share_of_other_rows_is_refused_and_its_sender_named(size: int) -> None:
    talk = Talk(collecting(62))
    talk.begin()
    shares = {
        name: TrainingMessage(score_share=ScoreShare(ciphertexts=bytes(length)))
        for name, length in (("bureau", 256), ("market", size))
    }
    with pytest.raises(ProtocolError, match="wrong number of rows") as caught:
        talk.tell(shares)
    assert caught.value.party == "market"


def collecting(rows: int) -> Script:
    yield from collect_scores(("bureau", "market"), RING, rows)


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_what_is_one_message_fits_an_envelope_for_four_million_rows(bits: int) -> None:
    rows, room = 4_000_000, MAX_ENVELOPE_BYTES - 4096  # for seal, header, signature
    shares = ScoreLayout.plan(1 << bits - 1).plaintexts(rows) * 2 * bits // 8
    predictor = Predictor(masked=bytes(8 * rows)).ByteSize()
    assert max(shares, predictor) < room / 10
