"""Queries in canonical form, and a core that only ever accepts or refuses."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.entity_ids import complete_resident, complete_uscc
from veilscore.keys.errors import EntityIdError
from veilscore.keys.identity import Signer
from veilscore.keys.receiving import PeerKeys
from veilscore.keys.registry import PartyRecord, Role
from veilscore.node.scoring.holder import Situation, accept
from veilscore.node.scoring.query import Query, canonical_id, canonical_ids
from veilscore.node.scoring.refusals import QueryRefusedError
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.v1.score_pb2 import ScoreQueryBody

CREDIT_CODE = complete_uscc("9132011374010010")
RESIDENT = complete_resident("11010519491231002")
BANK = PartyRecord(
    "bank", frozenset({Role.REQUESTER}), Signer.generate().verify_key, "", date.min
)


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        (f"U:{CREDIT_CODE}", f"U:{CREDIT_CODE}"),
        (f"U: {CREDIT_CODE[:6]}-{CREDIT_CODE[6:].lower()}", f"U:{CREDIT_CODE}"),
        (f"R:{RESIDENT}", f"R:{RESIDENT}"),
        ("X: plot 12:7 ", "X:plot 12:7"),
    ],
)
def test_an_id_has_one_spelling(typed: str, canonical: str) -> None:
    assert canonical_id(typed) == canonical == canonical_id(canonical)


@given(st.text(max_size=40), st.sampled_from(["U:", "R:", "X:", "Y:", ""]))
def test_an_id_is_made_canonical_for_good_or_refused(text: str, prefix: str) -> None:
    try:
        once = canonical_id(prefix + text)
    except EntityIdError:
        return
    assert canonical_id(once) == once


def test_a_bad_id_is_named_by_its_place_only() -> None:
    with pytest.raises(EntityIdError) as caught:
        canonical_ids(["X:a", "R:110105194912310021"])
    assert caught.value.place == "entity 2"
    assert "1101" not in str(caught.value)
    with pytest.raises(EntityIdError, match="entity 3: this is entity 1 again"):
        canonical_ids(["X:a", "X:b", "X:\uff41"])


def valid_body() -> ScoreQueryBody:
    return ScoreQueryBody(
        nonce=bytes(16),
        requester="bank",
        model=bytes(32),
        holders=["bureau"],
        receiving_keys=[bytes(32)] * 2,
        entities=["X:a"],
        deadline=10,
        asked=5,
    )


def test_the_digest_covers_every_field() -> None:
    digests = {Query.of(valid_body()).digest}
    for field, value in (
        ("nonce", b"\1" * 16),
        ("requester", "broker"),
        ("model", b"\1" * 32),
        ("modulus", b"\3"),
        ("purpose", "audit"),
        ("consent", "17"),
        ("deadline", 11),
        ("asked", 6),
    ):
        body = valid_body()
        setattr(body, field, value)
        digests.add(Query.of(body).digest)
    for field in ("holders", "receiving_keys", "entities"):
        body = valid_body()
        repeated = getattr(body, field)
        repeated.append(repeated[0])
        digests.add(Query.of(body).digest)
    assert len(digests) == 12


def test_what_was_written_reads_the_same_and_shows_no_id() -> None:
    query = Query.of(valid_body())
    assert Query.read(query.raw) == query
    assert "X:a" not in repr(query)


def peer(name: str) -> PeerKeys:
    return PeerKeys(name, "score", bytes(32), b"", bytes(32), b"", None, 100)


SITUATION = Situation(
    party="bureau",
    settings=ScoringSettings(requesters=("bank",), purposes=("audit",)),
    sender=BANK,
    model=None,
    keys={},
    peers={name: peer(name) for name in ("bank", "market")},
    nonce_seen=False,
    now=5.0,
)
names = st.lists(st.sampled_from(["bank", "bureau", "market", ""]), max_size=4)
bodies = st.builds(
    ScoreQueryBody,
    nonce=st.binary(min_size=16, max_size=17),
    requester=st.sampled_from(["bank", "broker", ""]),
    model=st.sampled_from([bytes(32), b""]),
    holders=names,
    modulus=st.binary(max_size=300),
    receiving_keys=st.lists(st.just(bytes(32)), max_size=5),
    purpose=st.sampled_from(["audit", "", "pre_loan"]),
    consent=st.text(max_size=5),
    entities=st.lists(st.text(max_size=5), max_size=5),
    deadline=st.integers(-(2**63), 2**63 - 1),
    asked=st.integers(-(2**63), 2**63 - 1),
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), bodies.map(lambda body: Query.of(body).raw)))
def test_any_bytes_are_refused_by_a_holder_without_the_model(raw: bytes) -> None:
    with pytest.raises(QueryRefusedError):
        accept(Query.read(raw), SITUATION)
