"""What a lab found out, as a table and as checks."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from veilscore.lab.outcome import (
    ClearSteps,
    EvidenceOutcome,
    HolderOutcome,
    LabOutcome,
    LogOutcome,
    Parity,
    Quality,
    RunOutcome,
    ScoreOutcome,
)
from veilscore.lab.report import show

PARITY = Parity(
    rows=9_000,
    alone_auc=0.684,
    alone_ks=0.277,
    central_auc=0.7757,
    central_ks=0.423,
    federated_auc=0.7756,
    federated_ks=0.4225,
    worst_pd=2e-4,
    mean_pd=3e-5,
    card_auc_apart=-2e-5,
    judged_card_auc_apart=2.5e-4,
)
RUN = RunOutcome(
    name="exact",
    run="ab" * 16,
    model="cd" * 32,
    seconds=61.5,
    steps={"join": 1.5, "rows": 60.0},
    expected={"bank": 40, "regulator": 57},
    quality=Quality(
        aligned=14_640,
        learned=5_906,
        rows=9_000,
        on_holdout=True,
        auc=0.7755,
        ks=0.42,
        brier=0.134,
        alone_auc=0.684,
        alone_ks=0.277,
        gini=0.551,
        alone_gini=0.368,
        calibration_intercept=-0.031,
        calibration_slope=1.04,
    ),
    exact=True,
    parity=PARITY,
)
OUTCOME = LabOutcome(
    name="demo",
    key_bits=3072,
    holders={
        "bank": HolderOutcome(8_426, 0, 11, 250.0, 4),
        "bureau": HolderOutcome(14_258, 41, 13, 240.0, 4),
    },
    entities=15_000,
    shared_entities=8_011,
    online_seconds=6.2,
    runs=(RUN,),
    scores=ScoreOutcome(
        asked=8_426,
        answered=8_426,
        queries=9,
        mismatches=0,
        seconds=42.0,
        example=ClearSteps({"bank": 580, "bureau": -12}, 568, 568, 0.081),
    ),
    log=LogOutcome(
        entries=120,
        files=14,
        export_bytes=90_000,
        verified=True,
        events={"bank": 60, "bureau": 55},
        remarks=(),
        witnesses=("witness-1", "witness-2"),
        reconciled=("bank", "bureau"),
        sought=123_456,
        evidence=EvidenceOutcome("ab" * 32, 23_456, (("requester", "bank"),)),
    ),
    idle_cores=0.031,
    killed=0,
    seconds=190.0,
)


def text_of(outcome: LabOutcome) -> str:
    console = Console(file=StringIO(), width=120)
    show(outcome, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_tells_everything() -> None:
    text = text_of(OUTCOME)
    for part in (
        "14,258 entities, 13 columns, 41 rows left out for their ids",
        "15,000 entities, 8,011 of them known to all parties",
        "14,640 in the run, the label holder learned from 5,906",
        "61.5 s: join 1.5, rows 60.0",
        "bank 40 s, regulator 57 s of work, said before",
        "0.6840 alone → 0.7755 together (+0.0915)",
        "0.3680 alone → 0.5510 together (+0.1830)",  # Gini
        "slope 1.04, intercept -0.03",
        "0.6840 alone, 0.77570 pooled, 0.77560 here (-0.00010, bar 0.001)",
        "2.0e-04 at worst (bar 0.005)",
        "AUC +0.00025 on the held-out rows, -0.00002 on all labelled",
        "ones (bar ±0.0003)",
        "8,426 of 8,426 answered (9 queries, 42.0 s, 201 a second)",
        "bank +580 bureau -12 = 568",
        "568, PD 8.10%",
        "120 entries in 14 files, 0.1 MB, verified offline",
        "witness-1, witness-2",
        "for 123,456 ids, names and values, also hashed and encoded: none found",
        "of request abababababababab… in 23,456 bytes, verified offline",
        "250 MiB (PSS) in 4 processes",
        "3.1% of one core",
        "190 s with 3072-bit keys",
    ):
        assert part in text
    assert "✗" not in text
    assert all(OUTCOME.checks().values())


def test_a_calibration_that_is_not_defined_is_left_out() -> None:
    quality = replace(RUN.quality, calibration_intercept=None, calibration_slope=None)
    text = text_of(replace(OUTCOME, runs=(replace(RUN, quality=quality),)))
    assert "calibration" not in text


def test_a_comparison_that_was_promised_and_not_made_fails_a_check() -> None:
    run = replace(RUN, parity=None, parity_skipped="scikit-learn is not installed")
    outcome = replace(OUTCOME, runs=(run,))
    assert "NOT COMPARED: scikit-learn is not installed" in text_of(outcome)
    failed = [what for what, holds in outcome.checks().items() if not holds]
    assert failed == ["run 'exact' is as good as pooled data"]
    only_told = replace(outcome, runs=(replace(run, exact=False),))
    assert "NOT COMPARED: scikit-learn is not installed" in text_of(only_told)
    assert all(only_told.checks().values())


def test_without_data_to_pool_there_is_nothing_to_promise() -> None:
    outcome = replace(OUTCOME, runs=(replace(RUN, parity=None),))
    assert all(outcome.checks().values())
    assert not any("pooled" in what for what in outcome.checks())


def test_a_run_that_does_not_promise_it_may_be_worse_than_pooled_data() -> None:
    run = replace(RUN, exact=False, parity=replace(PARITY, federated_auc=0.77))
    outcome = replace(OUTCOME, runs=(run,))
    assert all(outcome.checks().values())
    assert "0.77000 here (-0.00570)" in text_of(outcome)


@pytest.mark.parametrize(
    "outcome",
    [
        replace(OUTCOME, scores=replace(OUTCOME.scores, answered=8_425)),
        replace(OUTCOME, scores=replace(OUTCOME.scores, mismatches=1)),
        replace(OUTCOME, log=replace(OUTCOME.log, verified=False)),
        replace(OUTCOME, log=replace(OUTCOME.log, events={"bank": 60})),
        replace(OUTCOME, log=replace(OUTCOME.log, evidence=None)),
        replace(OUTCOME, log=replace(OUTCOME.log, reconciled=("bank",))),
        replace(OUTCOME, log=replace(OUTCOME.log, leaks=("entry 3 holds an id",))),
        replace(OUTCOME, log=replace(OUTCOME.log, sought=0)),
        replace(OUTCOME, killed=1),
        *(
            replace(OUTCOME, runs=(replace(RUN, parity=apart),))
            for apart in (
                replace(PARITY, federated_auc=0.7745),
                replace(PARITY, federated_ks=0.4285),
                replace(PARITY, worst_pd=6e-3),
                replace(PARITY, card_auc_apart=-4e-4),
                replace(PARITY, card_auc_apart=4e-4),
                replace(PARITY, judged_card_auc_apart=-4e-4),
            )
        ),
    ],
)
def test_one_thing_that_does_not_hold_fails_one_check(outcome: LabOutcome) -> None:
    assert list(outcome.checks().values()).count(False) == 1
    assert text_of(outcome).count("✗") == 1
