"""What the coordinator has of a horizontal run, and what of it is no noise.

``findings`` holds all that members told it against the allow-list, searches it for the
words of members' vectors and of any sum of these, and tests masked vectors for noise.
``form`` is what is left of a member's messages without keys, digests, signatures and
what is sealed or masked: it must not depend on who has which rows. A finding is a
sentence and quotes nothing.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import Final

import numpy as np

from tests.attacks.allowed_fields import PublicKnowledge, allowed_fields
from tests.attacks.canary_forms import Form, spelt
from tests.protocol.counties import HUB, RUN
from tests.protocol.region_run import NOW, RegionRun
from veilscore.keys.aggregation.wire import Kind, read_words
from veilscore.lab.beginnings import Beginnings
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.rounds import change_format
from veilscore.models.horizontal.run import terms_of
from veilscore.models.steps import steps
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.training_pb2 import StepReport, TrainingMessage

COUNT: Final = 1  # where a vector of bins has its first: members, counts
CHANGE: Final = 2  # where a round's vector has its first: members, digest, changes
_LARGE: Final = np.uint64(1 << 20)  # what is smaller could stand anywhere by chance
_DECIMAL: Final = 8  # characters that do not appear by chance
# Of the share of ones in each of 64 places of n words, whose deviation is .5 / sqrt(n).
_DEVIATIONS: Final = 7.0


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a member in a sum; ``label`` is what it wanted last."""

    sender: str
    label: str
    message: TrainingMessage
    words: bytes
    body: AggregationBody

    @property
    def kind(self) -> str:
        """What it says."""
        if self.message.sum.HasField("wanted"):
            return "wanted"
        return self.body.WhichOneof("content") or "nothing"


@dataclass(frozen=True)
class RegionTranscript:
    """All that the coordinator has of one run; ``summands`` it must not have."""

    run: RegionRun

    @cached_property
    def said(self) -> list[Said]:
        """What members said in sums, each one's in its order."""
        labels: dict[str, str] = {}
        found: list[Said] = []
        for heard in self.run.heard:
            wanted = heard.message.sum.wanted.label
            label = labels[heard.sender] = wanted or labels[heard.sender]
            signed_ = SignedAggregation.FromString(heard.message.sum.signed)
            body = AggregationBody.FromString(signed_.body)
            found.append(Said(heard.sender, label, heard.message, signed_.words, body))
        return found

    def findings(self) -> Iterator[str]:
        """Yield everything that a member's vector or count can be seen in."""
        yield from self.not_allowed()
        yield from self.words_found()
        yield from self.not_noise()
        yield from self.unlike()

    # -- what is not on the list -----------------------------------------------------

    def not_allowed(self) -> Iterator[str]:
        """Yield what members told the coordinator beyond what is allowed."""
        allowed = allowed_fields(
            PublicKnowledge(
                coordinator=HUB,
                parties=tuple(self.run.names),
                runs=(RUN,),
                steps=tuple(steps(self.run.contract)),
                node_ids=frozenset(),
                key_bits=2048,
                version="",
                since=NOW,
                until=NOW,
            )
        )
        for each in self.run.heard:
            yield from allowed.decode(TrainingMessage, each.message.SerializeToString())
        for report in self.run.reports:
            yield from allowed.decode(StepReport, report.data)
        for event in self.run.logged:
            yield from allowed.check(event)

    # -- words of vectors ------------------------------------------------------------

    def words_found(self) -> Iterator[str]:
        """Yield where a large word, or what it stands for, is in the transcript.

        And where any word stands in its place: in the masked vector of the same sum.
        """
        sought = Beginnings(_DECIMAL, self._sought())
        got = [
            *(each.message.SerializeToString() for each in self.run.heard),
            *(each.data for each in self.run.reports),
            *(each.SerializeToString() for each in self.run.logged),
        ]
        for vector, form in {what for data in got for _, what in sought.find(data)}:
            yield f"a word of {vector} in the transcript, as {form}"
        for each in self._masked():
            masked = read_words(each.words)
            for names, words in self._vectors(each.label):
                if masked.size == words.size and (masked == words).any():
                    yield f"a word of {names} in its place in what {each.sender} sent"

    @cached_property
    def _summands(self) -> Mapping[str, Mapping[str, Words]]:
        found: defaultdict[str, dict[str, Words]] = defaultdict(dict)
        for each in self.run.summands:
            found[each.label][each.party] = each.words
        return found

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """How many rows each member learns from."""
        return {
            name: int((~self.run.table(number).holdout).sum())
            for number, name in enumerate(self.run.names)
        }

    def _vectors(self, label: str) -> Iterator[tuple[tuple[str, ...], Words]]:
        """Yield each member's vector of a sum, and the sum of any of them."""
        own = self._summands[label]
        for size in range(1, len(own) + 1):
            for names in combinations(own, size):
                words = np.zeros_like(own[names[0]])
                for name in names:
                    words += own[name]
                yield names, words

    def _sought(self) -> Iterator[tuple[tuple[str, str], bytes]]:
        for label in self._summands:
            of_round = label.startswith(f"{RUN} round")
            for names, words in self._vectors(label):
                large = set(words[words >= _LARGE].tolist())
                forms = chain.from_iterable(map(_as_word, large))
                if of_round:
                    rows = sum(self.rows[name] for name in names)
                    forms = chain(forms, self._as_numbers(words, rows))
                for form, octets in forms:
                    yield (f"{names}, {label.removeprefix(RUN)}", form), octets

    def _as_numbers(self, words: Words, rows: int) -> Iterator[Form]:
        """Yield a round's changes as floats, of all rows and of one."""
        terms = terms_of(self.run.contract, 3)
        numbers = change_format(terms).decode(words[CHANGE:]).tolist()
        for number in {each / by for each in numbers for by in (1, rows)} - {0.0}:
            for name, order in (("little", "<"), ("big", ">")):
                octets = struct.pack(order + "d", number)
                yield from spelt(f"float64 {name}-endian", octets)
            if len(repr(number)) >= 2 * _DECIMAL:
                yield "decimal", repr(number).encode()

    # -- noise and form --------------------------------------------------------------

    def _masked(self) -> Iterator[Said]:
        return (each for each in self.said if each.kind == Kind.MASKED)

    def not_noise(self) -> Iterator[str]:
        """Yield whose masked vectors, of one sum or all together, are not uniform."""
        vectors: defaultdict[str, list[Words]] = defaultdict(list)
        for each in self._masked():
            vectors[each.sender].append(read_words(each.words))
        for party, parts in vectors.items():
            if any(map(_is_biased, [*parts, np.concatenate(parts)])):
                yield f"what {party} sent masked is not uniform"

    def form(self, party: str) -> list[tuple[object, ...]]:
        """Return all of a member's messages that is no key, digest, box or noise."""
        return [
            (
                each.kind,
                each.label,
                each.message.sum.wanted.length,
                each.message.ByteSize(),
                len(each.words),
                (each.body.version, each.body.run, each.body.round, each.body.attempt),
                len(each.body.shares.sealed),
                len(each.body.revealed.shares),
                _agreed(each.body),
            )
            for each in self.said
            if each.sender == party
        ]

    def unlike(self) -> Iterator[str]:
        """Yield who says less, more, longer or other things than the first member.

        Who is lost says the beginning of it. In reports of one step nobody differs.
        """
        forms = {name: self.form(name) for name in self.run.names}
        longest = max(forms.values(), key=len)
        for name, own in forms.items():
            if own != longest[: len(own)]:
                yield f"{name} is told from others by the form of its messages"
        told: defaultdict[str, set[bytes]] = defaultdict(set)
        for each in self.run.reports:
            told[each.step].add(without_digests(each.data))
        for step, reports in told.items():
            if len(reports) > 1:
                yield f"members are told apart by their reports of {step}"


def without_digests(report: bytes) -> bytes:
    """Return a report without what follows from noise: the digests."""
    left = StepReport.FromString(report)
    left.sent = bytes(len(left.sent))
    left.card = bytes(len(left.card))
    return left.SerializeToString(deterministic=True)


def _agreed(body: AggregationBody) -> tuple[str, ...]:
    """Return the survivors that a member agreed to."""
    shown = SignedAggregation.FromString(body.agreement.survivors)
    return tuple(AggregationBody.FromString(shown.body).survivors.members)


def _as_word(word: int) -> Iterator[Form]:
    for name, order in (("little", "<"), ("big", ">")):
        yield from spelt(f"word {name}-endian", struct.pack(order + "Q", word))
    for number in {word, int(np.uint64(word).view(np.int64))}:
        if len(str(number)) > _DECIMAL:
            yield "decimal", str(number).encode()


def _is_biased(words: Words) -> bool:
    bits = np.unpackbits(words.view(np.uint8)).reshape(-1, 64)
    bound = _DEVIATIONS * 0.5 / np.sqrt(len(words))
    return bool(np.abs(bits.mean(axis=0) - 0.5).max() > bound)
