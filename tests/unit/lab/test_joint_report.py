"""What a horizontal run came to, as a table and as checks."""

from dataclasses import replace

import pytest

from tests.unit.lab.test_lab_report import OUTCOME, text_of
from veilscore.lab.joint_outcome import (
    Figures,
    JointOutcome,
    JointRunOutcome,
    MemberOutcome,
)
from veilscore.lab.outcome import ClearSteps

BANK = MemberOutcome(
    learned=3_425,
    learned_bad=525,
    rows=1_438,
    bad=220,
    alone=Figures(0.7347, 0.36, 0.111),
    pooled=Figures(0.7634, 0.40, 0.108),
    here=Figures(0.7644, 0.41, 0.107),
    gain_error=0.0095,
    reported=0.7644,
)
BEGUN = replace(BANK, learned=60, learned_bad=7, gain_error=0.02)
JOINT = JointOutcome(
    own="intercept",
    rows=9_000,
    bad=1_991,
    auc=0.77818,
    pooled_auc=0.77749,
    tables_apart=0.0,
    card_auc_apart=-2e-5,
    judged_card_auc_apart=1.2e-4,
)
RUN = JointRunOutcome(
    name="joint",
    run="ab" * 16,
    model="cd" * 32,
    seconds=71.5,
    steps={"join": 1.5, "bins": 4.0, "round-1": 1.0, "round-2": 2.0, "register": 0.5},
    expected={"bank": 40, "bureau": 57},
    private=False,
    members={"bank": BANK, "county": BEGUN},
    joint=JOINT,
)
WHOLE = replace(
    OUTCOME,
    runs=(RUN,),
    scores=replace(
        OUTCOME.scores, example=ClearSteps({"bureau": 568}, 568, 568, 0.081)
    ),
)


def failed(run: JointRunOutcome) -> list[str]:
    checks = replace(WHOLE, runs=(run,)).checks()
    return [what for what, holds in checks.items() if not holds]


def test_the_table_tells_everything() -> None:
    text = text_of(WHOLE)
    for part in (
        "71.5 s: join 1.5, bins 4.0, 2 rounds of 1.50, register 0.5",
        "bank 40 s, bureau 57 s of work, said before",
        "9,000 held-out rows of all, 1,991 of them bad",
        "0.77749 pooled, 0.77818 here (+0.00069, bar 0.003)",
        "0.0e+00 between members, in log odds (fitted at home: intercept)",
        "AUC +0.00012 on the held-out rows, -0.00002 on all labelled",
        "learned from 3,425 rows (525 bad), judged on 1,438 (220 bad)",
        "0.7347 alone, 0.7634 pooled, 0.7644 here (+0.0297 ± 0.0095: a gain)",
        "0.7347 alone, 0.7634 pooled, 0.7644 here (+0.0297 ± 0.0200: no difference)",
        "0.3600 alone, 0.4000 pooled, 0.4100 here",
        "0 with the card of bureau in plain",
    ):
        assert part in text
    assert "✗" not in text
    assert failed(RUN) == []


def test_a_loss_and_too_few_rows_are_told() -> None:
    worse = replace(BANK, here=replace(BANK.here, auc=0.70), reported=0.70)
    few = replace(BANK, gain_error=None)
    text = text_of(replace(WHOLE, runs=(replace(RUN, members={"a": worse, "b": few}),)))
    assert "(-0.0347 ± 0.0095: a loss)" in text
    assert "(+0.0297, too few rows to tell)" in text


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (
            replace(RUN, joint=replace(JOINT, tables_apart=1e-12)),
            "all members of run 'joint' have the same tables",
        ),
        (
            replace(RUN, joint=replace(JOINT, auc=0.774)),
            "run 'joint' ranks as the model of pooled rows",
        ),
        (
            replace(RUN, joint=replace(JOINT, judged_card_auc_apart=4e-4)),
            "the points of run 'joint' rank as its model",
        ),
        (
            replace(RUN, members={"bank": replace(BANK, reported=0.76)}),
            "every member of run 'joint' found its AUC as it is",
        ),
    ],
)
def test_one_thing_that_does_not_hold_fails_one_check(
    run: JointRunOutcome, what: str
) -> None:
    assert failed(run) == [what]
    assert text_of(replace(WHOLE, runs=(run,))).count("✗") == 1


def test_noise_own_tables_and_few_rows_promise_less() -> None:
    apart = replace(JOINT, auc=0.74)
    assert failed(replace(RUN, private=True, joint=apart)) == []
    fitted = replace(apart, own="tables", tables_apart=0.3)
    assert failed(replace(RUN, joint=fitted)) == []
    assert "bar 0.003" not in text_of(
        replace(WHOLE, runs=(replace(RUN, private=True),))
    )
    few = replace(apart, bad=99, judged_card_auc_apart=4e-4)
    assert failed(replace(RUN, joint=few)) == []
    assert "too few for a bar" in text_of(
        replace(WHOLE, runs=(replace(RUN, joint=few),))
    )
