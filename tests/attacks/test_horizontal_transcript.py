"""H7: what the coordinator gets of a whole horizontal run shows no member's data.

No update or count of a member, nor a sum: not in what it can read, not in the form of
it, and not by what differs between two runs. Metrics no member sends. Members that leak
are found by the same checks.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.region_transcript import (
    CHANGE,
    COUNT,
    RegionTranscript,
    without_digests,
)
from tests.conftest import Tell
from tests.protocol.counties import county
from tests.protocol.farm_tables import farms
from tests.protocol.region_run import KilledError, RegionRun
from veilscore.fault import Fault
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.wire import Kind, digest, kind_of, read_words
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.rounds import change_format
from veilscore.models.horizontal.run import terms_of
from veilscore.models.script import Action, Arrived, Send
from veilscore.node.columns import Columns
from veilscore.node.training.session import RunSession
from veilscore.node.training.summing import Sums
from veilscore.v1.aggregation_pb2 import MaskedInput, SignedAggregation
from veilscore.v1.training_pb2 import StepReport, TrainingMessage

Adding: TypeAlias = Generator[Action, Arrived, Words]

LEAKING = county(1)
LOST = county(4)
ROUND = 100  # words: more than a round's vector has, less than one of bins


def planted(members: int) -> Callable[[str, str, Words], Words]:
    """Return what gives members a count and a change of 62 random bits, of sum 0.

    No real count is so large that it could not stand anywhere by chance. Who will be
    lost has its own.
    """
    draw = np.random.default_rng(members)
    drawn = draw.integers(1 << 40, 1 << 62, (members, 2), dtype=np.uint64)
    own = {county(number): each for number, each in enumerate(drawn)}
    if LOST in own:
        own[LOST][:] = 0
    drawn[0] -= drawn.sum(axis=0, dtype=np.uint64)

    def plant(party: str, label: str, words: Words) -> Words:
        words = words.copy()
        if " bins 0" in label:
            words[COUNT] += own[party][0]
        elif " round " in label:
            words[CHANGE] += own[party][1]
        return words

    return plant


def lose(sender: str, message: TrainingMessage) -> None:
    """Kill a member before its second round's vector arrives."""
    said = message.sum.signed
    if sender == LOST and kind_of(said) is Kind.MASKED:
        signed = SignedAggregation.FromString(said)
        if len(signed.words) < 8 * ROUND:
            raise KilledError


@pytest.mark.parametrize("members", [3, 6])
def test_no_vector_or_count_is_in_the_transcript(
    members: int, tmp_path: Path, tell: Tell
) -> None:
    run = RegionRun(tmp_path, members=members, hand_in=planted(members))
    if members == 6:
        run.on_heard = lose
    run.play()
    assert run.left.keys() == ({LOST} if members == 6 else set())
    transcript = RegionTranscript(run)
    found = list(transcript.findings())
    size = sum(each.message.ByteSize() for each in run.heard)
    tell(
        f"horizontal run of {members}: findings in {len(run.heard)} messages, "
        f"{size / 1e6:.1f} MB",
        len(found),
        0,
    )
    assert found == []
    # What was sought is what members handed in: sums are right, counts can be found.
    run.check_sums()
    counts = [each.words[COUNT] for each in run.summands if " bins 0" in each.label]
    assert sum(int(count) > 1 << 40 for count in counts) == min(members, 5)
    assert {each.kind for each in transcript.said} == {
        *("wanted", "keys", "shares", "masked", "agreement", "revealed")
    }


# -- two runs, other rows --------------------------------------------------------------


def swapped(number: int) -> Columns:
    """Return the tables of the two first members the other way round."""
    return tables({0: 1, 1: 0}.get(number, number))


def tables(number: int) -> Columns:
    """Return tables of quite different sizes."""
    return farms(number, (240, 88, 160)[number])


def test_who_has_which_rows_changes_nothing_but_noise(
    tmp_path: Path, tell: Tell
) -> None:
    runs = [
        RegionRun(tmp_path / table.__name__, table=table) for table in (tables, swapped)
    ]
    for run in runs:
        run.play()
    one, other = map(RegionTranscript, runs)
    assert [*one.findings(), *other.findings()] == []
    for name in runs[0].names:
        assert one.form(name) == other.form(name)
    # The two members did hand in each other's counts, under the same sums.
    counts = [
        {
            each.party: each.words.tolist()
            for each in run.summands
            if " bins 0" in each.label
        }
        for run in runs
    ]
    assert counts[0][county(0)] == counts[1][county(1)] != counts[0][county(1)]
    reports = [
        sorted(
            (each.step, each.party, without_digests(each.data)) for each in run.reports
        )
        for run in runs
    ]
    assert reports[0] == reports[1]
    events = [
        [(each.round, each.attempt, *each.members) for each in run.made] for run in runs
    ]
    assert events[0] == events[1]
    assert [type(each) for each in runs[0].logged] == [
        type(each) for each in runs[1].logged
    ]
    same = sum(
        int((read_words(left.words) == read_words(right.words)).sum())
        for left, right in zip(*map(in_order, (one, other)), strict=True)
    )
    tell("masked words that two runs share", same, 0)
    assert same == 0


def in_order(transcript: RegionTranscript) -> list[SignedAggregation]:
    """Return all masked vectors, by sender and sum."""
    masked = [each for each in transcript.said if each.kind == Kind.MASKED]
    masked.sort(key=lambda each: (each.sender, each.body.round))
    return [SignedAggregation(words=each.words) for each in masked]


# -- planted leaks ---------------------------------------------------------------------

Leak: TypeAlias = Callable[[RegionRun, pytest.MonkeyPatch], object]


def count_in_the_label(_: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Sums.add

    def adding(sums: Sums, label: str, words: Words, *, whole: bool = False) -> Adding:
        if sums.around.party == LEAKING and " bins 0" in label:
            label += f" of {words[COUNT]} rows"
        return add(sums, label, words, whole=whole)

    monkeypatch.setattr(Sums, "add", adding)


def vector_beside_the_message(_: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the vector as a field that the coordinator's release does not know."""
    add = Sums.add

    def adding(sums: Sums, label: str, words: Words, *, whole: bool = False) -> Adding:
        script = add(sums, label, words, whole=whole)
        if sums.around.party != LEAKING or " round " not in label:
            return (yield from script)
        raw = words.tobytes()
        field = b"\xfa\x01" + bytes([len(raw) % 128 + 128, len(raw) // 128]) + raw
        action = next(script)
        while True:
            if isinstance(action, Send):
                action.message.sum.MergeFromString(field)
            try:
                action = script.send((yield action))
            except StopIteration as end:
                total: Words = end.value
                return total

    monkeypatch.setattr(Sums, "add", adding)


def report_instead(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[StepReport, int], object]
) -> None:
    """Change what a member reports of the first round, knowing its rows."""
    perform = RunSession.perform

    def performing(session: RunSession, step: str, manifest: bytes) -> StepReport:
        report = perform(session, step, manifest)
        if session.around.party == LEAKING and step == "round-1":
            change(report, len(session.around.source))
        return report

    monkeypatch.setattr(RunSession, "perform", performing)


def count_as_a_size(_: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(report: StepReport, rows: int) -> None:
        report.bytes_bucket = rows

    report_instead(monkeypatch, put)


def count_in_a_bucket(_: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(report: StepReport, rows: int) -> None:
        report.bytes_bucket = 1 << rows.bit_length()

    report_instead(monkeypatch, put)


def change_as_a_digest(run: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell an own change where others tell what they sent."""

    def put(report: StepReport, _: int) -> None:
        (own,) = (
            each.words
            for each in run.summands
            if each.party == LEAKING and each.label.endswith(" round 1")
        )
        changes = change_format(terms_of(run.contract, 3)).decode(own[CHANGE:])
        change = changes[changes != 0][:1] / RegionTranscript(run).rows[LEAKING]
        report.sent = change.tobytes() * 4

    report_instead(monkeypatch, put)


class Leaking(Member):
    """Changes its masked vector before it signs it."""

    def mask_input(self, share_list: bytes, vector: NDArray[np.uint64]) -> bytes:
        honest = super().mask_input(share_list, vector)
        if self._name != LEAKING:
            return honest
        masked = read_words(SignedAggregation.FromString(honest).words)
        words = self.leak(masked.copy(), vector).tobytes()
        return self._write(Kind.MASKED, MaskedInput(words=digest(words)), words)

    def leak(self, masked: Words, vector: Words) -> Words:
        """Return what it sends instead."""
        raise NotImplementedError

    @classmethod
    def plays(cls, _: RegionRun, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let members be of this kind."""
        monkeypatch.setattr("veilscore.node.training.summing.Member", cls)


class NothingMasked(Leaking):
    def leak(self, masked: Words, vector: Words) -> Words:
        del masked
        return vector


class CountUnmasked(Leaking):
    def leak(self, masked: Words, vector: Words) -> Words:
        if vector.size > ROUND:
            masked[COUNT] = vector[COUNT]
        return masked


class MaskTooShort(Leaking):
    def leak(self, masked: Words, vector: Words) -> Words:
        del vector
        return masked & np.uint64((1 << 62) - 1)


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        (count_in_the_label, ["SumWanted.label holds what it may not"]),
        (
            vector_beside_the_message,
            ["has an unknown field 31", "as word little-endian"],
        ),
        (count_as_a_size, ["StepReport.bytes_bucket holds what it may not"]),
        (count_in_a_bucket, ["told apart by their reports of round-1"]),
        (change_as_a_digest, ["round 1 in the transcript, as float64 little-endian"]),
        (
            NothingMasked.plays,
            ["words holds what it may not", "in its place", "not uniform"],
        ),
        (CountUnmasked.plays, ["in its place in what county-1 sent"]),
        (MaskTooShort.plays, ["what county-1 sent masked is not uniform"]),
    ],
)
def test_a_member_that_leaks_is_found(
    leak: Leak, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RegionRun(tmp_path, rounds=1)
    leak(run, monkeypatch)
    with suppress(Fault):  # a wrong sum ends the run: too late
        run.play()
    found = list(RegionTranscript(run).findings())
    for each in named:
        assert any(each in finding for finding in found)
