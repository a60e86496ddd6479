"""C3, H6: two runs that differ in one entity, and what the label holder reads of it.

Nothing hides it: counts and moments are exact. That a node takes part in few runs a day
is all that limits this (``test_run_ledger``). These attacks succeed; their figures are
in SECURITY.md.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from tests.conftest import Tell
from tests.protocol.plain_ring import PlainRing
from tests.protocol.ring_training import DataSet, RingRun, begin
from tests.protocol.test_alignment import aligned, contract, people
from veilscore.models.vertical.layout import ROTATION_SCALE, RowLayout
from veilscore.models.vertical.run import RunColumns
from veilscore.node.training.policy import TrainingSettings

ROWS, COLUMNS, BINS = 3000, 4, 7
RUNS_A_DAY = TrainingSettings().runs_a_day
PARTIES = ("bank", "bureau", "market")


def table(seed: int) -> RunColumns:
    codes = np.random.default_rng(seed).integers(0, BINS, (ROWS, COLUMNS))
    names = tuple(f"c{number}" for number in range(COLUMNS))
    return RunColumns(names, codes.astype(np.uint16), (BINS,) * COLUMNS)


def data() -> DataSet:
    rng = np.random.default_rng(5)
    columns = {party: table(seed) for seed, party in enumerate(PARTIES)}
    risk = sum(each.codes.sum(axis=1, dtype=np.int64) for each in columns.values())
    bad = risk + rng.normal(0, 6, ROWS) > np.quantile(risk, 0.8)
    return DataSet("bank", columns, rng.random(ROWS) < 0.3, bad)


DATA = data()
HOLDERS = [party for party in PARTIES if party != DATA.label_holder]


def counted(run: RingRun) -> list[Counter[tuple[int, int]]]:
    """Return what the label holder decrypts: (labelled, bad) of each column's bins."""
    run.play("counts")
    ring = PlainRing()
    layout = RowLayout.plan(ROWS, COLUMNS, 64, ring.modulus)
    return [
        Counter(layout.read_counts(value) for value in ring.decode(column.ciphertexts))
        for message in run.shown["counts"]
        for column in message.count_answer.columns
    ]


def true_bins(row: int) -> list[tuple[int, int]]:
    """Return (labelled, bad) of the bins that a row is in, by holder and column."""
    found: list[tuple[int, int]] = []
    for party in HOLDERS:
        for codes in DATA.columns[party].codes.T:
            here = (codes == codes[row]) & ~DATA.test
            found.append((int(here.sum()), int(DATA.bad[here].sum())))
    return found


def test_two_runs_show_the_bins_of_a_row_that_only_one_learns_from(tell: Tell) -> None:
    """The label holder leaves one of its labels out, and needs nobody for it."""
    row = int(np.flatnonzero(~DATA.test)[17])
    without = DATA.test.copy()
    without[row] = True
    first = counted(begin(DATA))
    second = counted(begin(replace(DATA, test=without)))
    # Of each column's bins one is smaller by this row: it is known by its counts.
    shown = [
        list((one - two).elements()) for one, two in zip(first, second, strict=True)
    ]
    right = sum(
        bins == [expected] for bins, expected in zip(shown, true_bins(row), strict=True)
    )
    told = f"{right} of {len(shown)}, with 2 of {RUNS_A_DAY} runs a day"
    tell("C3 columns of a labelled row whose anonymous bin two runs show", told, "none")
    assert right == len(shown)
    assert RUNS_A_DAY >= 2


def gram(data: DataSet) -> tuple[np.ndarray[tuple[int, int]], RingRun]:
    """Return the market's second moments of all rows, with its rotation undone.

    The label holder can do so for a holder of 2 to 6 columns (SECURITY.md); here the
    market's own rotation is looked up.
    """
    run = begin(data)
    run.play("counts")
    run.play("moments")
    shown = run.shown["moments"][HOLDERS.index("market")].moments
    turn = run.others["market"]._rotation / ROTATION_SCALE  # pyright: ignore[reportPrivateUsage]
    back = np.linalg.inv(turn)
    rows = len(data.columns["market"].codes)
    mean = np.array(shown.gram).reshape(COLUMNS, COLUMNS) / shown.weight
    return back @ (rows * mean) @ back.T, run


def without_row(row: int) -> DataSet:
    kept = np.arange(ROWS) != row
    columns = {
        party: replace(each, codes=each.codes[kept])
        for party, each in DATA.columns.items()
    }
    return DataSet(DATA.label_holder, columns, DATA.test[kept], DATA.bad[kept])


def test_exact_moments_show_a_row_that_has_no_label(tell: Tell) -> None:
    """Their difference is about the outer product of the row: its WoE but for one sign.

    About, because one row less moves the weights of all others.
    """
    whole, run = gram(DATA)
    tables = run.others["market"]._woe_tables()  # pyright: ignore[reportPrivateUsage] - known by the counts
    attacked = np.flatnonzero(DATA.test)[:10]
    right = 0
    for row in attacked.tolist():
        less, _ = gram(without_row(row))
        values, vectors = np.linalg.eigh(whole - less)
        read = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
        guesses = [
            [
                int(np.argmin(np.abs(t - sign * x)))
                for t, x in zip(tables, read, strict=True)
            ]
            for sign in (1, -1)
        ]
        codes = DATA.columns["market"].codes[row]
        right += max(int((np.array(guess) == codes).sum()) for guess in guesses)
    cells = COLUMNS * len(attacked)
    told = f"{right} of {cells}, with 2 of {RUNS_A_DAY} runs a day"
    tell("C3 columns of unlabelled rows that two runs' moments show", told, "none")
    assert right > 2 * cells / BINS


BANK = people(20, 60)
OTHERS = {"agriculture": people(0, 40), "regulator": people(40, 80)}


def rows_of_a_run(bank: list[str]) -> int:
    """Return how many rows every party sees; all entities are in the run."""
    found, _ = aligned(OTHERS | {"bank": bank}, set(BANK), contract())
    return found["bank"].rows


def test_at_the_edge_of_a_bucket_each_run_shows_whether_others_know_an_id(
    tell: Tell,
) -> None:
    """The bank makes up ids until one more moves the number of rows.

    Then it asks with an id in the place of that one: it moves the number only if
    nobody else knows it.
    """
    made_up = people(80_000, 80_016)
    low, high, runs = 0, len(made_up), 1
    before = rows_of_a_run(BANK)
    while high - low > 1:
        middle, runs = (low + high) // 2, runs + 1
        moved = rows_of_a_run([*BANK, *made_up[:middle]]) > before
        low, high = (low, middle) if moved else (middle, high)
    edge = [*BANK, *made_up[:low]]
    asked = [*people(0, 4), *people(76, 80), *people(90_000, 90_008)]
    known = {entity for ids in OTHERS.values() for entity in ids}
    right = sum((rows_of_a_run([*edge, x]) == before) == (x in known) for x in asked)
    told = f"{right} of {len(asked)}, one a run after {runs} to find the edge"
    tell("H6 memberships read at the edge of a bucket", told, "none")
    assert right == len(asked)
