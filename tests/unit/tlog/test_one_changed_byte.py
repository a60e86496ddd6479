"""One changed byte in whatever an auditor is handed is noticed, and by our error type.

A hundred thousand cases with ``--soak``, a seeded hundredth without.
"""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.unit.tlog.evidence_story import QUERY, Evidence
from tests.unit.tlog.sample_log import Parties
from veilscore.keys.errors import KeysError
from veilscore.keys.tlog.events import open_event
from veilscore.keys.tlog.evidence.audit import audit_evidence
from veilscore.keys.tlog.tlog_proof import TlogProof

CASES, FEW = 25_000, 250  # of each kind

Check = Callable[[bytes], object]


@pytest.fixture(scope="module")
def evidence(
    tmp_path_factory: pytest.TempPathFactory, parties: Parties
) -> Iterator[Evidence]:
    made = Evidence(tmp_path_factory.mktemp("evidence"), parties)
    yield made
    made.log.close()


def kinds(evidence: Evidence) -> dict[str, tuple[bytes, Check]]:
    """Return something of each kind, and how whoever gets it checks it."""
    log = evidence.log
    policy, entry = log.policy, log.store.entry(7)
    leaf, proof = entry.opened.leaf, log.store.receipt(7)

    def check_proof(data: bytes) -> None:
        read = TlogProof.parse(_text(data))
        read.verify_in(policy.open(read.checkpoint), leaf)

    def check_leaf(data: bytes) -> None:
        proof.verify_in(policy.open(proof.checkpoint), data)
        open_event(data, log.parties.registry)

    return {
        "note": (
            log.store.checkpoint().encode(),
            lambda data: policy.open(_text(data)),
        ),
        "proof": (proof.text.encode(), check_proof),
        "event": (leaf, check_leaf),
        "bundle": (
            evidence.of(QUERY),
            lambda data: audit_evidence(data, policy=policy),
        ),
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("kind", ["note", "proof", "event", "bundle"])
def test_one_changed_byte_is_noticed(
    evidence: Evidence, pytestconfig: pytest.Config, kind: str
) -> None:
    whole, check = kinds(evidence)[kind]
    check(whole)
    draw = random.Random(kind)
    for _ in range(CASES if pytestconfig.getoption("--soak") else FEW):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        with pytest.raises(KeysError):
            check(bytes(data))


@pytest.mark.parametrize("kind", ["note", "proof", "event", "bundle"])
def test_a_missing_or_added_byte_is_noticed(evidence: Evidence, kind: str) -> None:
    whole, check = kinds(evidence)[kind]
    draw = random.Random(kind)
    for at in draw.sample(range(len(whole)), FEW):
        for data in (whole[:at] + whole[at + 1 :], whole[:at] + b"A" + whole[at:]):
            with pytest.raises(KeysError):
                check(data)


def test_the_event_alone_is_checked_too(evidence: Evidence) -> None:
    """By its signature, where there is no proof."""
    leaf, registry = (
        evidence.log.store.entry(7).opened.leaf,
        evidence.log.parties.registry,
    )
    for at in range(len(leaf)):
        data = bytearray(leaf)
        data[at] ^= 1
        with pytest.raises(KeysError):
            open_event(bytes(data), registry)
