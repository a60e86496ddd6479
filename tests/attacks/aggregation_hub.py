"""An aggregator that signs whatever it likes, and what must come of that."""

from collections.abc import Callable, Iterable
from typing import Final

import pytest

from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    Attempt,
)
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import (
    Content,
    Kind,
    read,
    read_evidence,
    write,
)
from veilscore.keys.errors import (
    AggregationError,
    Breach,
    MisconductError,
)
from veilscore.v1 import aggregation_pb2 as pb

VICTIM: Final = NAMES[1]


def as_hub(asked: Terms, kind: Kind, content: Content, words: bytes = b"") -> bytes:
    """Return anything at all, signed by the aggregator."""
    return write(asked, HUB, SIGNERS[HUB], kind, content, words)


def listed(asked: Terms, kind: Kind, entries: Iterable[bytes]) -> bytes:
    return as_hub(asked, kind, pb.SignedList(entries=entries))


def survivor_set(attempt: Attempt, names: Iterable[str]) -> bytes:
    """Return another survivor set over the lists that were shown."""
    shown = read(attempt.said[Kind.MASKED], attempt.terms).content.survivors
    changed = pb.SurvivorSet()
    changed.CopyFrom(shown)
    changed.members[:] = names
    return as_hub(attempt.terms, Kind.SURVIVORS, changed)


def convicted(
    work: Callable[[], object], asked: Terms, breach: Breach
) -> AggregationError:
    """Expect a refusal whose evidence anybody who knows the keys can read."""
    with pytest.raises(MisconductError) as caught:
        work()
    error = caught.value
    assert error.breach is breach
    assert error.party == HUB
    assert error.place.startswith(asked.place)
    assert error.remedy
    found = [read_evidence(each, asked) for each in error.evidence]
    assert any(each.sender == HUB for each in found)
    return error


def two_signed(error: AggregationError, asked: Terms) -> None:
    """Expect two things that the aggregator signed and that contradict each other."""
    found = [read_evidence(each, asked) for each in error.evidence]
    assert [each.sender for each in found] == [HUB, HUB]
    assert found[0].kind is found[1].kind
    assert found[0].digest != found[1].digest
