"""Events: built, signed, decoded strictly, verified against the registry."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tlog.sample_log import NOW_MS, Parties
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import (
    EVENT_DOMAIN,
    RECEIVING_KEY_DOMAIN,
    Signer,
)
from veilscore.keys.tlog.events import (
    ActorHead,
    Detail,
    build_event,
    open_event,
    read_event,
    sign_event,
)
from veilscore.v1 import audit_pb2
from veilscore.v1.audit_pb2 import Event, RunOpened, ScoreDecided, SignedEvent, Started

PARTIES = Parties.generate()
DETAILS: list[Detail] = [
    audit_pb2.PartyJoined(party="bank", fingerprint=bytes(32)),
    audit_pb2.KeyPublished(purpose="score", digest=bytes(32), paillier_bits=3072),
    audit_pb2.RunOpened(contract=bytes(32), contract_body=b"{}"),
    audit_pb2.RunDecided(contract=bytes(32), approved=True),
    audit_pb2.StepDone(step="counts", sent=bytes(32), bytes_bucket=1 << 20),
    audit_pb2.RunClosed(completed=False, party="bank", reason="it has left"),
    audit_pb2.ModelRegistered(model=bytes(32), manifest=b"{}"),
    audit_pb2.ScoreRequested(terms=bytes(32), holders=["bureau", "market"]),
    audit_pb2.ScoreDecided(),
    audit_pb2.ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=3072),
    audit_pb2.Started(),
    audit_pb2.RegistryPublished(version=3, digest=bytes(32)),
    audit_pb2.Incident(kind="fork", evidence=bytes(32)),
    audit_pb2.LogReconciled(
        own_size=7, events=[audit_pb2.TypeCount(type="started", count=7)]
    ),
    audit_pb2.ConsentRegistered(consent=bytes(32), purposes=["pre_loan"], until=9),
    audit_pb2.ConsentWithdrawn(registered=4, consent=bytes(32), subject=bytes(32)),
    audit_pb2.Erased(reason="entity", openings_bucket=4),
    audit_pb2.SumMade(round=3, attempt=1, members=["bank"], total=bytes(32)),
    audit_pb2.PrivacySpent(epsilon=2.5, delta=1e-5),
]


def leaf_of(body: bytes, signer: Signer, domain: bytes = EVENT_DOMAIN) -> bytes:
    key_id = signer.verify_key.key_id
    signature = signer.sign(domain, body)
    return SignedEvent(body=body, key_id=key_id, signature=signature).SerializeToString(
        deterministic=True
    )


def test_there_is_a_detail_for_every_field() -> None:
    fields = Event.DESCRIPTOR.oneofs_by_name["detail"].fields
    names = {type(detail).__name__ for detail in DETAILS}
    assert {f.message_type.name for f in fields if f.message_type} == names


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: type(detail).__name__)
def test_an_event_of_every_kind_is_read_as_it_was_signed(detail: Detail) -> None:
    event = build_event(
        detail,
        actor="bank",
        head=ActorHead(6, b"x" * 32),
        correlation="00ff",
        time_ms=NOW_MS,
    )
    signed = sign_event(event, PARTIES.signers["bank"])
    opened = open_event(signed.leaf, PARTIES.registry)
    assert opened.event == event
    assert opened.event.seq == 7
    assert opened.event.previous == b"x" * 32
    assert getattr(opened.event, opened.kind) == detail
    body = SignedEvent.FromString(opened.leaf).body
    assert opened.head == ActorHead(7, hashlib.sha256(body).digest())


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_of_a_leaf_is_rejected(at: int, change: int) -> None:
    leaf = bytearray(PARTIES.event("bank", ActorHead(), correlation="ab").leaf)
    leaf[at % len(leaf)] ^= change
    with pytest.raises(ProofError):
        open_event(bytes(leaf), PARTIES.registry)


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected(leaf: bytes) -> None:
    with pytest.raises(ProofError):
        open_event(leaf, PARTIES.registry)


@given(st.binary(max_size=80))
def test_any_signed_bytes_are_rejected(body: bytes) -> None:
    with pytest.raises(ProofError):
        open_event(leaf_of(body, PARTIES.signers["bank"]), PARTIES.registry)


def body_of(**changed: object) -> bytes:
    fields: dict[str, object] = {
        "version": 1,
        "actor": "bank",
        "seq": 1,
        "previous": bytes(32),
        "time_ms": NOW_MS,
        "started": Started(version="1"),
    }
    return Event(**(fields | changed)).SerializeToString(deterministic=True)  # type: ignore[arg-type] # fields by name


GOOD = body_of()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (body_of(version=2), "version 2"),
        (body_of(seq=0), "says nothing"),
        (body_of(seq=2**64 - 1), "says nothing"),
        (body_of(started=None), "says nothing"),
        (body_of(previous=bytes(31)), "predecessor"),
        (body_of(time_ms=0), "time 0 ms"),
        (body_of(time_ms=NOW_MS * 1000), "cannot be of time"),
        (body_of(time_ms=NOW_MS // 1000), "cannot be of time"),
        (body_of(actor="nobody"), "not registered"),
        (GOOD + b"\xf8\x7f\x01", "unknown fields"),  # field 2047
        (GOOD + b"\x08\x01", "second spelling"),  # version again
        (GOOD.replace(b"\x08\x01", b"\x08\x81\x00", 1), "second spelling"),
        (GOOD + b"\xff", "not decodable"),
    ],
)
def test_a_signed_body_that_breaks_a_rule_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(ProofError, match=why):
        open_event(leaf_of(body, PARTIES.signers["bank"]), PARTIES.registry)


def test_a_leaf_with_an_unknown_field_is_refused() -> None:
    leaf = leaf_of(GOOD, PARTIES.signers["bank"])
    assert open_event(leaf, PARTIES.registry).event.actor == "bank"
    with pytest.raises(ProofError, match="unknown fields"):
        open_event(leaf + b"\xf8\x7f\x01", PARTIES.registry)


def test_only_the_actor_can_sign_its_events() -> None:
    with pytest.raises(ProofError, match="its actor has") as caught:
        open_event(leaf_of(GOOD, PARTIES.signers["market"]), PARTIES.registry)
    assert caught.value.party == "bank"
    forged = SignedEvent(
        body=GOOD,
        key_id=PARTIES.signers["bank"].verify_key.key_id,
        signature=PARTIES.signers["market"].sign(EVENT_DOMAIN, GOOD),
    )
    with pytest.raises(ProofError, match="does not verify"):
        open_event(forged.SerializeToString(), PARTIES.registry)


def test_a_signature_for_another_purpose_does_not_pass() -> None:
    leaf = leaf_of(GOOD, PARTIES.signers["bank"], RECEIVING_KEY_DOMAIN)
    with pytest.raises(ProofError, match="does not verify"):
        open_event(leaf, PARTIES.registry)


def test_the_largest_event_fits_and_a_larger_one_is_refused() -> None:
    small = PARTIES.event("hub", ActorHead(), RunOpened(contract_body=b"x" * 60_000))
    room = 65_535 - len(small.leaf)
    fits = RunOpened(contract_body=b"x" * (60_000 + room))
    largest = PARTIES.event("hub", ActorHead(), fits)
    assert len(largest.leaf) == 65_535
    assert open_event(largest.leaf, PARTIES.registry).event.run_opened == fits
    with pytest.raises(ProofError, match="over 65535"):
        PARTIES.event("hub", ActorHead(), RunOpened(contract_body=b"x" * 65_500))
    with pytest.raises(ProofError, match="over 65535"):
        read_event(bytes(65_536))


def test_a_chain_takes_the_next_event_and_no_other() -> None:
    first, second, third = PARTIES.events("bank", 3)
    ActorHead().check_next(first.event)
    first.head.check_next(second.event)
    with pytest.raises(ProofError, match="event 3 of bank cannot follow its event 1"):
        first.head.check_next(third.event)
    with pytest.raises(ProofError, match="event 1 of bank cannot follow its event 1"):
        first.head.check_next(first.event)
    fork = PARTIES.event("bank", ActorHead(1, b"y" * 32), ScoreDecided())
    with pytest.raises(ProofError, match="follows another event 1"):
        first.head.check_next(fork.event)
