"""What a node expects of a run is what the run's scripts then do."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.protocol.ring_training import scripts, trained
from tests.sample_contract import Clause, sample_contract
from veilscore.keys.linkage import size_bucket
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.ristretto import POINT
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.marks import CANARIES
from veilscore.models.vertical.ports import Codes
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.node.training.estimate import Estimate, Holding, Work
from veilscore.node.training.host_speed import HostSpeed
from veilscore.v1.training_pb2 import RunContract

ROWS, COLUMNS, BINS = 2000, 9, 11
HOLDERS = ("agency", "bank", "bureau", "market")
KEY = PublicKey(MODULUS)
ANSWERS = BINS * COLUMNS  # about as many sums are answered besides, whatever the rows


def every_column(rows: int, widths: Sequence[int]) -> int:
    """Count as if every row were multiplied into a bin of every column."""
    return rows * len(widths)


@dataclass(frozen=True)
class OwnRing(PlainRing):
    """Counts what its owner does with the own key."""

    done: Counter[str] = field(default_factory=Counter[str])

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        self.done["encryptions"] += len(plaintexts)
        return super().encrypt(plaintexts)

    def decrypt(self, ciphertexts: bytes) -> list[int]:
        self.done["decryptions"] += len(ciphertexts) // self.ciphertext_bytes
        return super().decrypt(ciphertexts)

    def decrypt_sum(self, shares: Sequence[bytes]) -> list[int]:
        self.done["decryptions"] += len(shares[0]) // self.ciphertext_bytes
        return super().decrypt_sum(shares)


@dataclass(frozen=True)
class PeerRing(PlainRing):
    """Counts what a party does with another's key."""

    done: Counter[str] = field(default_factory=Counter[str])

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        self.done["peer_encryptions"] += len(plaintexts)
        return super().encrypt(plaintexts)

    def histogram(
        self, rows: bytes, codes: Codes, bin_counts: Sequence[int]
    ) -> list[list[int]]:
        self.done["multiplications"] += every_column(len(codes), bin_counts)
        return super().histogram(rows, codes, bin_counts)


@dataclass(frozen=True)
class Party:
    """One party's role, and what it did."""

    role: FeatureHolder | LabelHolder
    done: Counter[str]


def parties(contract: RunContract) -> dict[str, Party]:
    """Return everybody with equally many rows and columns."""
    terms, rng = Terms(contract), np.random.default_rng(5)
    found: dict[str, Party] = {}
    for name in sorted(entry.party for entry in contract.roster):
        codes = rng.integers(0, BINS, (ROWS, COLUMNS)).astype(np.uint16)
        labels = tuple(f"{name}{at}" for at in range(COLUMNS))
        columns = RunColumns(labels, codes, (BINS,) * COLUMNS)
        done = Counter[str]()
        own, peer = OwnRing(done=done), PeerRing(done=done)
        role: FeatureHolder | LabelHolder
        if name == contract.label_holder:
            bad = (codes[:, 0] + rng.normal(0, 2, ROWS) > 6).astype(np.int8)
            nobody = np.full(ROWS, -1, np.int8)
            role = LabelHolder(name, terms, columns, Labels(bad, nobody), own)
        else:
            masks = RingMasks(name, terms.feature_holders)
            role = FeatureHolder(
                name, terms, columns, own, dict.fromkeys(HOLDERS, peer), masks
            )
        found[name] = Party(role, done)
    return found


def play(contract: RunContract, found: dict[str, Party]) -> Counter[str]:
    """Play the run; return how many bytes each party sent."""
    sent, roles = Counter[str](), {name: each.role for name, each in found.items()}
    for step in trained(contract):
        for sender, _, message in conduct(scripts(roles, step)):
            sent[sender] += message.ByteSize()
    return sent


def work_of(name: str, contract: RunContract) -> Work:
    return Holding(name, ROWS, COLUMNS, KEY).work(contract, every_column)


@pytest.mark.parametrize(
    ("names", "clauses"),
    [
        (HOLDERS[:2], {"allow_two_party": True}),
        (HOLDERS[:3], {}),
        (HOLDERS, {"polish_steps": 2, "polish_noise": 0.25}),
        (HOLDERS, {"polish_steps": 3, "exact": True}),
    ],
    ids=["two", "three", "polish", "exact"],
)
def test_the_work_is_what_the_scripts_do(
    names: tuple[str, ...], clauses: dict[str, Clause]
) -> None:
    contract = sample_contract(names, {}, min_count=1, **clauses)
    found = parties(contract)
    sent = play(contract, found)
    alignment = size_bucket(ROWS + CANARIES) * len(names)
    # Who of a pair encrypts is decided in the run: a feature holder expects half.
    for group in (["bank"], [name for name in names if name != "bank"]):
        expected = [work_of(name, contract) for name in group]
        done = sum((found[name].done for name in group), Counter[str]())
        for count in ("encryptions", "peer_encryptions", "multiplications"):
            told = sum(getattr(work, count) for work in expected)
            assert told == pytest.approx(done[count], abs=len(group))
        more = done["decryptions"] - sum(work.decryptions for work in expected)
        assert 0 <= more <= ANSWERS * len(names)
        points = POINT * alignment * len(group)
        predictors = 8 * ROWS * contract.polish_steps * (group != ["bank"]) * len(group)
        # Here a "ciphertext" is as long as the modulus, not as its square.
        told = sum(work.sent_bytes for work in expected) - points - predictors
        more = sum(sent[name] for name in group) - told // 2 - predictors
        assert 0 <= more <= ANSWERS * KEY.ciphertext_bytes * len(group)
        for work in expected:
            assert work.points == alignment
            assert work.steps == len(list(steps(contract)))


def test_twice_the_rows_are_twice_the_work_up_to_what_the_contract_allows() -> None:
    contract = sample_contract(HOLDERS, max_rows=200_000)

    def work(name: str, rows: int) -> Work:
        with PaillierWorkers(0) as workers:
            holding = Holding(name, rows, COLUMNS, KEY)
            return holding.work(contract, workers.multiplications)

    for name in HOLDERS:
        one, two, beyond = work(name, 81_920), work(name, 163_840), work(name, 10**6)
        for count in ("encryptions", "multiplications"):
            assert abs(getattr(two, count) - 2 * getattr(one, count)) <= 1
        assert beyond.encryptions <= two.encryptions * 1.25
        assert beyond.points > 5 * two.points  # all of the table is aligned


def test_seconds_are_those_of_all_operations_together() -> None:
    work = Work(
        points=1,
        encryptions=20,
        peer_encryptions=3,
        decryptions=400,
        multiplications=5000,
        steps=0,
        sent_bytes=77,
    )
    speed = HostSpeed(1.0, 0.1, 0.01, 0.001)
    assert work.at(speed).seconds == pytest.approx(1 + 2 + 4 + 5 + 0.3)
    assert work.at(speed).sent_bytes == 77
    assert replace(work, steps=9).at(speed).seconds > work.at(speed).seconds


@pytest.mark.parametrize("seconds", [0.0, 0.4, 7.3, 754.0, 86_400.0])
def test_the_coordinator_is_told_whole_seconds_a_tenth_too_many(seconds: float) -> None:
    told = Estimate(seconds, 0).told_s
    assert told >= 1
    assert seconds - 0.5 <= told <= max(1.1 * (seconds + 0.5), 1) + 1
    assert size_bucket(told) == told


def test_the_speed_of_this_host_is_measured_with_its_own_key() -> None:
    key = PrivateKey.generate(2048)
    with PaillierWorkers(0) as workers:
        speed = HostSpeed.measure(key, workers)
    assert speed.point_s > 0
    assert speed.encryption_s > 0
    assert speed.decryption_s > 0
    assert speed.multiplication_s > 0
