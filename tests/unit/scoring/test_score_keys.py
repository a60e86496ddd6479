"""Receiving keys for scores: renewed in time, opened until they expire, then gone."""

from datetime import date
from itertools import count
from pathlib import Path

import pytest

from veilscore.keys.errors import InvalidKeyError, LogStoreError, SealError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.receiving import SCORE, PeerKeys, verify_signed_key
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.sealing import Opener, Sealer
from veilscore.node.scoring.receiving_keys import LIFE_S, ScoreKeys
from veilscore.v1.hub_pb2 import SignedKey

NOW = 1_790_000_000.0
SIGNER = Signer.generate()
PAILLIER = PrivateKey.generate(2048)


@pytest.fixture(scope="module")
def registry() -> Registry:
    roles = {"hub": Role.COORDINATOR, "bureau": Role.DATA_HOLDER}
    signers = {"hub": Signer.generate(), "bureau": SIGNER}
    records = [
        PartyRecord(
            name,
            frozenset({role}),
            signers[name].verify_key,
            "",
            date(2026, 3, 1),
            PAILLIER.certify(name) if name == "bureau" else None,
        )
        for name, role in roles.items()
    ]
    file = Registry.sign(records, signers["hub"], 1)
    return Registry.load(file, signers["hub"].verify_key.fingerprint)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore.create(tmp_path / "keystore", b"a passphrase")


def load(store: Keystore) -> ScoreKeys:
    return ScoreKeys(store, SIGNER, "bureau", PAILLIER.public)


def test_a_key_is_used_for_half_its_life(store: Keystore, registry: Registry) -> None:
    keys = load(store)
    fresh: list[SignedKey] = []
    first = keys.current(NOW, fresh.append)
    assert keys.current(NOW + LIFE_S / 2 - 1, fresh.append) == first
    second = keys.current(NOW + LIFE_S / 2, fresh.append)
    assert second != first
    assert fresh == [first, second]
    peer = verify_signed_key(first, registry, SCORE, NOW)
    assert (peer.party, peer.paillier_key()) == ("bureau", PAILLIER.public)
    for when in (NOW - 299, NOW + LIFE_S - 1):
        verify_signed_key(first, registry, SCORE, when)
    with pytest.raises(InvalidKeyError):
        verify_signed_key(first, registry, SCORE, NOW + LIFE_S)


def test_a_key_that_would_never_be_in_the_log_is_never_used(store: Keystore) -> None:
    def full(key: SignedKey) -> None:
        del key
        raise LogStoreError("the disk is full")

    with pytest.raises(LogStoreError):
        load(store).current(NOW, full)
    assert not load(store).by_id
    announced: list[SignedKey] = []
    key = load(store).current(NOW, announced.append)
    assert announced == [key]


def test_a_restarted_node_goes_on_with_its_keys(store: Keystore) -> None:
    keys = load(store)
    first = keys.current(NOW, ignore)
    second = keys.current(NOW + LIFE_S / 2, ignore)
    again = load(store)
    assert again.current(NOW + LIFE_S / 2 + 1, ignore) == second != first
    assert set(again.by_digest) == set(keys.by_digest)
    assert len(again.by_digest) == 2


def test_old_keys_open_until_they_expire(store: Keystore, registry: Registry) -> None:
    keys = load(store)
    opener = Opener("bureau", SCORE, keys.by_id, {}, 10_000)
    sealer = Sealer(SIGNER, "bureau", {})
    old = verify(keys.current(NOW, ignore), registry, NOW)
    keys.current(NOW + LIFE_S / 2, ignore)
    assert opener.open(sealer.seal("", old, b"late"), registry)[1] == b"late"
    late = sealer.seal("", old, b"too late")
    keys.current(NOW + LIFE_S, ignore)
    with pytest.raises(SealError, match="no longer"):
        opener.open(late, registry)
    assert old.digest not in keys.by_digest
    private = load(store)
    assert old.digest not in private.by_digest


def test_a_key_that_could_not_be_announced_is_not_made_anew(store: Keystore) -> None:
    keys = load(store)
    attempts = count()

    def fail(key: SignedKey) -> None:
        del key
        next(attempts)
        raise InvalidKeyError("the log is away")

    with pytest.raises(InvalidKeyError):
        keys.current(NOW, fail)
    keys.current(NOW, fail)
    assert next(attempts) == 1
    assert len(keys.by_digest) == 1


def test_keys_stored_by_a_later_version_are_not_read(store: Keystore) -> None:
    store.put("score-receiving-keys", b"\2[]")
    with pytest.raises(InvalidKeyError, match="version 2"):
        load(store)


def ignore(key: SignedKey) -> None:
    del key


def verify(key: SignedKey, registry: Registry, now: float) -> PeerKeys:
    return verify_signed_key(key, registry, SCORE, now)
