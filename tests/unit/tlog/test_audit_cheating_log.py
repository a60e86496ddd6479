"""The audit of a coordinator that cheats, and signs what it made up."""

from datetime import date

import pytest

from tests.unit.tlog.published_log import (
    LEAVES,
    PARTIES,
    checkpoint_of,
    export_of,
    failure,
    verify,
)
from tests.unit.tlog.sample_log import NOW_MS, ROLES, Parties
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry
from veilscore.keys.tlog import audit
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.events import ActorHead
from veilscore.v1.audit_pb2 import PartyJoined


def test_a_dropped_event_is_a_gap_in_its_actors_chain() -> None:
    error = failure(export_of(LEAVES[:100] + LEAVES[101:]))
    assert error.step == audit.CHAINS
    assert "entry 102 in tile/entries/000" in error.place
    assert error.party == "bank" == read_actor(LEAVES[100])


def read_actor(leaf: bytes) -> str:
    return next(name for name in ROLES if name.encode() in leaf)


def test_a_doubled_event_breaks_its_actors_chain() -> None:
    assert failure(export_of([*LEAVES, LEAVES[-1]])).step == audit.CHAINS


def test_events_of_one_actor_in_another_order_break_its_chain() -> None:
    leaves = [*LEAVES[:100], LEAVES[103], *LEAVES[101:103], LEAVES[100], *LEAVES[104:]]
    error = failure(export_of(leaves))
    assert (error.step, error.party) == (audit.CHAINS, "bank")


def test_an_invented_event_is_not_signed_by_its_actor() -> None:
    invented = Parties.generate().events("bank", 1)[0].leaf
    error = failure(export_of([*LEAVES[:4], invented]))
    assert (error.step, error.party) == (audit.SIGNATURES, "bank")
    assert "entry 4 in" in error.place


def test_a_leaf_that_is_no_event_is_refused() -> None:
    assert failure(export_of([*LEAVES[:4], b"note"])).step == audit.SIGNATURES


@pytest.mark.parametrize("size", [1, 4, 5, 255, 256, 257, 270, 272])
def test_an_older_checkpoint_shows_that_the_log_grew(size: int) -> None:
    assert verify(export_of(LEAVES), checkpoint_of(LEAVES[:size])).older_size == size


def test_a_cut_log_passes_alone_but_not_against_an_older_checkpoint() -> None:
    cut = export_of(LEAVES[:200])
    assert verify(cut).size == 200
    error = failure(cut, checkpoint_of(LEAVES[:201]))
    assert error.step == audit.OLDER
    assert "from 201 to 200" in error.what


@pytest.mark.parametrize("size", [101, 150, 256, 272])
def test_a_rewritten_log_passes_alone_but_not_against_an_older_checkpoint(
    size: int,
) -> None:
    leaves = [*LEAVES[:99], LEAVES[100], LEAVES[99], *LEAVES[101:]]
    assert verify(export_of(leaves)).size == 272
    assert failure(export_of(leaves), checkpoint_of(LEAVES[:size])).step == audit.OLDER


def test_an_older_checkpoint_of_another_key_is_refused() -> None:
    other = checkpoint_of(LEAVES[:9], Signer.generate())
    assert failure(export_of(LEAVES), other).step == audit.OLDER
    assert failure(export_of(LEAVES), "no checkpoint").step == audit.OLDER


def registry_of(
    keys: dict[str, Signer], signer: Signer = PARTIES.signers["hub"]
) -> bytes:
    records = [
        PartyRecord(
            name=name,
            roles=frozenset(roles),
            key=keys.get(name, PARTIES.signers[name]).verify_key,
            flower_key="",
            joined=date(2026, 3, 1),
        )
        for name, roles in ROLES.items()
    ]
    return Registry.sign(records, signer, 2)


def test_a_substituted_key_does_not_fit_what_the_log_says() -> None:
    registry = registry_of({"market": Signer.generate()})
    error = failure(export_of(LEAVES, registry=registry))
    assert (error.step, error.party) == (audit.SIGNATURES, "market")
    quiet = LEAVES[:5]  # so far only the bank has done something
    error = failure(export_of(quiet, registry=registry))
    assert (error.step, error.party) == (audit.JOINED, "market")


def test_a_key_that_was_substituted_for_a_while_stays_visible() -> None:
    false = PartyJoined(party="market", fingerprint=bytes(32))
    key = PARTIES.registry.fingerprints()["market"]
    first = PARTIES.event("hub", ActorHead(), false)
    second = PARTIES.event(
        "hub", first.head, PartyJoined(party="market", fingerprint=key)
    )
    error = failure(export_of([first.leaf, second.leaf]))
    assert (error.step, error.party) == (audit.CHAINS, "market")
    assert "two keys" in error.what


def test_a_registry_of_another_coordinator_is_refused() -> None:
    other = Signer.generate()
    registry = registry_of({"hub": other}, other)
    assert failure(export_of(LEAVES, registry=registry)).step == audit.PARTIES


def test_oddities_are_remarked() -> None:
    first = PARTIES.event("bank", ActorHead(), time_ms=NOW_MS)
    second = PARTIES.event("bank", first.head, time_ms=NOW_MS - 300_001)
    claim = PartyJoined(party="market", fingerprint=bytes(32))
    third = PARTIES.event("bank", second.head, claim)  # not the bank's to say
    report = audit_export(export_of([first.leaf, second.leaf, third.leaf]))
    assert report.remarks == (
        "the log does not say that bank joined",
        "the clock of bank was set back by more than 5 minutes",
        "no fingerprint was given: the log's key is the export's word",
    )
