"""A whole run under real encryption equals the same run on plain integers."""

import secrets
from collections.abc import Iterator

import numpy as np
import pytest

from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.keys import masks
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import ReceivingKeys
from veilscore.models.errors import ProtocolError
from veilscore.models.script import Script, Send
from veilscore.models.vertical import run as run_terms
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier, RunMasks
from veilscore.v1.training_pb2 import RunContract

ROWS = 400
PART_ROWS = 150  # of the encrypted run; the other is in one part
PARTIES = ("agriculture", "bank", "regulator")
Role = FeatureHolder | LabelHolder


def contract(*, polish: int = 0, exact: bool = False) -> RunContract:
    return sample_contract(
        PARTIES,
        min_count=3,
        polish_steps=polish,
        polish_noise=0.25,
        exact=exact,
        max_columns=8,
        max_rows=1000,
    )


def table(seed: int, columns: int) -> RunColumns:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5, (ROWS, columns)).astype(np.uint16)
    names = tuple(f"c{seed}_{index}" for index in range(columns))
    return RunColumns(names, codes, (5,) * columns)


COLUMNS = {"agriculture": table(1, 3), "bank": table(2, 2), "regulator": table(3, 4)}


def labels() -> Labels:
    rng = np.random.default_rng(9)
    risk = sum(columns.codes[:, 0].astype(float) for columns in COLUMNS.values())
    bad = (risk + rng.normal(0, 2, ROWS) > 8).astype(np.int8)
    known = rng.random(ROWS)
    train = np.where(known < 0.6, bad, -1).astype(np.int8)
    holdout = np.where((known >= 0.6) & (known < 0.9), bad, -1).astype(np.int8)
    return Labels(train, holdout)


def plain_roles(terms: Terms) -> dict[str, Role]:
    ring = PlainRing()
    peers: dict[str, PlainRing] = dict.fromkeys(PARTIES, ring)
    return {
        name: LabelHolder(name, terms, COLUMNS[name], labels(), ring)
        if name == "bank"
        else FeatureHolder(
            name,
            terms,
            COLUMNS[name],
            ring,
            peers,
            RingMasks(name, terms.feature_holders),
        )
        for name in PARTIES
    }


@pytest.fixture(scope="module")
def workers() -> Iterator[PaillierWorkers]:
    with PaillierWorkers(0) as made:
        yield made


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    return {name: PrivateKey.generate(2048) for name in PARTIES}


def real_roles(
    terms: Terms, keys: dict[str, PrivateKey], workers: PaillierWorkers
) -> dict[str, Role]:
    mask_keys = {name: ReceivingKeys.generate() for name in PARTIES}
    context = secrets.token_bytes(32)
    roles: dict[str, Role] = {}
    for name in PARTIES:
        own = OwnPaillier(keys[name], workers)
        if name == "bank":
            roles[name] = LabelHolder(
                name, terms, COLUMNS[name], labels(), own, PART_ROWS
            )
            continue
        pairs = {
            other: masks.pair_secret(
                mask_keys[name].mask,
                mask_keys[other].mask.public_key().public_bytes_raw(),
                context,
            )
            for other in terms.feature_holders
            if other != name
        }
        peers = {
            other: PeerPaillier(keys[other].public, workers)
            for other in PARTIES
            if other != name
        }
        roles[name] = FeatureHolder(
            name, terms, COLUMNS[name], own, peers, RunMasks(name, pairs), PART_ROWS
        )
    return roles


def script(role: Role, step: str) -> Script:
    if step.startswith("polish"):
        return role.polish(step)
    found: Script = getattr(role, step)()
    return found


def run_all(roles: dict[str, Role], terms: Terms) -> None:
    for step in steps(terms.contract):
        if step not in {"join", "rows", "register"}:
            conduct({name: script(role, step) for name, role in roles.items()})


def scores(roles: dict[str, Role]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return sum(  # type: ignore[return-value] # sum of arrays, never the start 0
        role.solution().partial_scores(COLUMNS[name].codes)
        for name, role in roles.items()
    )


@pytest.mark.parametrize("mode", ["default", "exact"])
def test_encryption_changes_nothing(
    mode: str,
    keys: dict[str, PrivateKey],
    workers: PaillierWorkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two runs draw two noises, and so two slopes.
    monkeypatch.setattr(run_terms, "CALIBRATION_NOISE", 0.0)
    monkeypatch.setattr(run_terms, "GRANULES_OF_NOISE", 0.0)
    terms = Terms(contract(polish=3 if mode == "exact" else 0, exact=mode == "exact"))
    plain, real = plain_roles(terms), real_roles(terms, keys, workers)
    run_all(plain, terms)
    run_all(real, terms)
    for name in PARTIES:
        expected, found = plain[name].solution(), real[name].solution()
        # Rotations differ between the two runs; the answers agree up to rounding.
        np.testing.assert_allclose(
            found.weights, expected.weights, rtol=2e-3, atol=2e-3
        )
    assert np.abs(scores(plain) - scores(real)).max() <= len(PARTIES) + 1


def test_a_holder_that_sums_something_else_is_named() -> None:
    terms = Terms(contract())
    roles = plain_roles(terms)

    def cheat(honest: Script) -> Script:
        action = next(honest)
        while True:
            if isinstance(action, Send) and action.message.HasField("count_answer"):
                column = action.message.count_answer.columns[0]
                ring = PlainRing()
                sums = ring.decode(column.ciphertexts)
                column.ciphertexts = ring.encode([2 * sums[0], *sums[1:]])
            action = honest.send((yield action))

    scripts = {name: role.counts() for name, role in roles.items()}
    scripts["regulator"] = cheat(scripts["regulator"])
    with pytest.raises(ProtocolError, match="do not add up") as caught:
        conduct(scripts)
    assert caught.value.party == "regulator"


def test_one_class_of_labels_is_refused_before_anything_is_sent() -> None:
    nothing = np.full(ROWS, -1, dtype=np.int8)
    good = np.zeros(ROWS, dtype=np.int8)
    with pytest.raises(Exception, match="one class only"):
        LabelHolder(
            "bank",
            Terms(contract()),
            COLUMNS["bank"],
            Labels(good, nothing),
            PlainRing(),
        )
