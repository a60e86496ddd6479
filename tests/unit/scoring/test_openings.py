"""Openings: they open what the log shows, for one entity without the others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from veilscore.keys.errors import LogStoreError
from veilscore.keys.keystore import Keystore
from veilscore.keys.tlog.commitments import Opening
from veilscore.keys.tlog.database import Database
from veilscore.node.errors import NoOpeningError
from veilscore.node.records.openings import FIRST, Openings, tag_key
from veilscore.node.records.shredder import Shredder
from veilscore.node.scoring.query import Query
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import ScoreQueryBody

NOW = 1_790_000_000.0
NONCE = bytes(range(200, 216))
FIRMS = ("X:firm one", "X:firm two", "X:firm three")


def query(*entities: str, nonce: bytes = NONCE) -> Query:
    return Query.of(
        ScoreQueryBody(
            nonce=nonce,
            requester="bank",
            purpose="pre_loan",
            consent="contract 17",
            entities=entities,
        )
    )


@pytest.fixture
def again(tmp_path: Path) -> Iterator[Callable[[], Openings]]:
    """Return a function that opens the same files once more."""
    with ExitStack() as opened:

        def reopened() -> Openings:
            database = Database(tmp_path / "events.db")
            opened.callback(database.close)
            shredder = Shredder(tmp_path / "shredder.db", NOW)
            opened.callback(shredder.close)
            return Openings(database, shredder, bytes(32))

        yield reopened


@pytest.fixture
def openings(again: Callable[[], Openings]) -> Openings:
    return again()


def test_every_part_opens_what_is_shown_of_it(openings: Openings) -> None:
    asked = query(*FIRMS)
    shown = openings.commit(asked, NOW, consents={FIRMS[1]: 9}, answer=b"ciphertexts")
    kept = openings.of(asked.digest)
    assert (kept.own, kept.time) == (False, int(NOW))
    openings.terms(kept).check(shown.terms)
    openings.answer(kept).check(shown.answer)
    terms = CommittedTerms.FromString(openings.terms(kept).data)
    assert (terms.hosted, terms.entities, list(terms.consents)) == (False, 3, [])
    for index, firm in enumerate(FIRMS):
        entity = openings.entity(kept, index)
        entity.check(3, shown.entities)
        told = CommittedEntity.FromString(entity.opening.data)
        assert (told.entity, told.consent) == (firm, 9 if index == 1 else 0)
    with pytest.raises(NoOpeningError):
        openings.entity(kept, 3)


def test_what_is_shown_of_one_entity_tells_nothing_of_the_others(
    openings: Openings,
) -> None:
    """Also not to somebody who guesses the others, and has the query's digest."""
    asked = query(*FIRMS)
    openings.commit(asked, NOW)
    kept = openings.of(asked.digest)
    shown = openings.entity(kept, 0)
    disclosed = b"".join(
        (openings.terms(kept).data, openings.terms(kept).salt, shown.opening.salt)
    )
    assert NONCE not in disclosed
    guessed = CommittedEntity(entity=FIRMS[1]).SerializeToString(deterministic=True)
    for salt in (shown.opening.salt, openings.terms(kept).salt):
        assert Opening(salt, guessed).commitment not in kept.commitments


def test_the_files_hold_no_id_no_reference_and_no_nonce(
    openings: Openings, tmp_path: Path
) -> None:
    openings.commit(query(*FIRMS), NOW, answer=b"ciphertexts")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for word in (b"firm", b"contract 17", b"pre_loan", b"ciphertexts", NONCE):
        assert word not in written


def test_without_its_keys_an_older_copy_opens_nothing(openings: Openings) -> None:
    asked, other = query(*FIRMS), query(FIRMS[0], nonce=bytes(16))
    openings.commit(asked, NOW)
    openings.commit(other, NOW)
    old = openings.of(asked.digest)  # what a backup of events.db has
    openings.shredder.destroy([], [(old.tree, FIRST + 1, 1)])
    with pytest.raises(NoOpeningError):
        openings.entity(old, 1)
    assert openings.entity(old, 2).index == 2
    assert openings.about(FIRMS[1]) == []
    openings.shredder.destroy([old.tree])
    for index in range(3):
        with pytest.raises(NoOpeningError):
            openings.entity(old, index)
    with pytest.raises(NoOpeningError):
        openings.terms(old)
    assert [kept.query for kept, _ in openings.about(FIRMS[0])] == [other.digest]


def test_who_asked_about_an_entity_is_found(openings: Openings) -> None:
    requests: Sequence[Query] = [
        query(FIRMS[0], nonce=bytes(16)),
        query(*FIRMS, nonce=b"1" * 16),
        query(FIRMS[1], nonce=b"2" * 16),
    ]
    for at, asked in enumerate(requests):
        openings.commit(asked, NOW - at)  # a clock that goes backwards
    found = [(kept.query, place) for kept, place in openings.about(FIRMS[0])]
    assert found == [(requests[1].digest, 0), (requests[0].digest, 0)]
    assert [place for _, place in openings.about(FIRMS[1])] == [0, 1]
    assert openings.about("X:firm") == []


def test_tags_that_a_power_cut_took_are_noted_again(
    openings: Openings, again: Callable[[], Openings], tmp_path: Path
) -> None:
    openings.commit(query(*FIRMS, nonce=bytes(16)), NOW)
    before = (tmp_path / "shredder.db").read_bytes()  # without its journal
    openings.commit(query(FIRMS[2]), NOW)
    openings.shredder.close()
    for each in tmp_path.glob("shredder.db*"):
        each.unlink()
    (tmp_path / "shredder.db").touch(0o600)
    (tmp_path / "shredder.db").write_bytes(before)
    assert len(again().about(FIRMS[2])) == 2
    assert len(again().about(FIRMS[0])) == 1


def test_how_a_request_ended_is_known_at_once_and_on_disk_later(
    openings: Openings, again: Callable[[], Openings]
) -> None:
    asked = query(*FIRMS)
    openings.commit(asked, NOW)
    openings.conclude(asked.digest, "no-answer")
    assert openings.of(asked.digest).outcome == "no-answer"
    assert again().of(asked.digest).outcome == ""
    openings.close()
    assert again().of(asked.digest).outcome == "no-answer"


def test_a_query_is_kept_once(openings: Openings) -> None:
    openings.commit(query(*FIRMS), NOW)
    with pytest.raises(LogStoreError):
        openings.commit(query(*FIRMS), NOW)
    assert len(openings.before(NOW + 1)) == 1


def test_the_key_of_tags_is_made_once(keystore: Keystore) -> None:
    assert tag_key(keystore) == tag_key(keystore)
    assert len(tag_key(keystore)) == 32
