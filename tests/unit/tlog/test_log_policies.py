"""Log policies: the file, and which checkpoints count."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import Parties
from tests.unit.tlog.witnessed_log import WitnessedLog, witnessed_log
from veilscore.keys.errors import LogPolicyError, ProofError, QuorumError
from veilscore.keys.identity import Signer, VerifyKey
from veilscore.keys.tlog.cosignature import WitnessKey
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy
from veilscore.keys.tlog.note import NoteKey


def key_of(name: str) -> VerifyKey:
    """Return the same key for a name every time: it stands in the names of tests."""
    secret = hashlib.sha256(name.encode()).digest()
    return Signer.from_private_bytes(secret).verify_key


LOG = NoteKey("hub.example/log", key_of("log"))
KEYS = {
    name: WitnessKey(f"{name}.example/w", key_of(name))
    for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")
}
LINES = "\n".join(f"witness {name} {key.vkey}" for name, key in KEYS.items())
EXAMPLE = f"""\
log {LOG.vkey}

{LINES}
group X-witnesses 2 X1 X2 X3
# a comment

 \tgroup Y-witnesses\tany Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[WitnessedLog]:
    with witnessed_log(tmp_path, parties) as made:
        made.fill(5, "bank")
        yield made


@pytest.mark.parametrize(
    ("cosigned", "enough"),
    [
        ("", False),
        ("X1 X2", False),
        ("X1 Y1", False),
        ("Y1 Y2 Y3", False),
        ("X1 X3 Y2", True),
        ("X1 X2 X3 Y1 Y2 Y3", True),
        ("X1 X2 stranger", False),
    ],
)
def test_the_example_of_the_specification(cosigned: str, enough: bool) -> None:  # noqa: FBT001 - a row of a table
    policy = LogPolicy.parse(EXAMPLE.encode())
    assert policy.logs == {LOG.name: LOG}
    assert policy.is_quorum(cosigned.split()) is enough


def test_one_witness_can_be_the_quorum_and_none_too() -> None:
    alone = LogPolicy.parse(f"{LINES}\nquorum X2".encode())
    assert alone.is_quorum(["X2"])
    assert not alone.is_quorum(["X1", "X3"])
    none = LogPolicy.parse(f"log {LOG.vkey}\nquorum none\n".encode())
    assert not none.needs_witnesses
    assert none.is_quorum([])


def test_octets_that_are_no_ascii_are_taken_as_they_are() -> None:
    vkey = KEYS["X1"].vkey.encode()
    policy = LogPolicy.parse(
        b"# \xff\n" + b"witness \xe5\xae\xa1 " + vkey + b" \xfe\nquorum \xe5\xae\xa1"
    )
    assert policy.is_quorum(["审"])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("quorum X1\nquorum X2", "second quorum"),
        ("quorum Z", "'Z' is not defined above"),
        ("group g any X1 Z\nquorum g", "'Z' is not defined above"),
        ("group g 3 X1 X2\nquorum g", "any, all or 1 to 2"),
        ("group g 0 X1 X2\nquorum g", "any, all or 1 to 2"),
        ("group g 01 X1\nquorum g", "any, all or 1 to 1"),
        ("group g any\nquorum g", "'group' with 2 words"),
        ("group g any X1 X1\nquorum g", "is a member already"),
        ("group g any X1\ngroup h any X1\nquorum g", "is a member already"),
        ("group g any none\nquorum g", "'none' is not defined above"),
        ("group none any X1\nquorum none", "'none' is taken"),
        ("group X1 any X2\nquorum X1", "'X1' is taken"),
        (f"witness Z {KEYS['X1'].vkey}\nquorum Z", "in an earlier line"),
        (f"witness Z {LOG.vkey}\nquorum Z", "not a verifier key of a witness"),
        (f"log {KEYS['X1'].vkey}\nquorum X1", "not a verifier key of a log"),
        (f"log {LOG.vkey}\nquorum X1", "in an earlier line"),
        ("quorum X1\x07", "control character"),
        ("quorum\u00a0X1", "with 0 words"),
        ("grup g any X1", "'grup' with 3 words"),
    ],
)
def test_a_wrong_line_is_named(line: str, what: str) -> None:
    text = f"log {LOG.vkey}\n{LINES}\n{line}\n"
    with pytest.raises(LogPolicyError, match=what) as caught:
        LogPolicy.parse(text.encode())
    assert caught.value.place in {"line 8", "line 9"}


def test_a_policy_needs_a_quorum(tmp_path: Path) -> None:
    file = tmp_path / "policy.txt"
    file.write_text(LINES)
    with pytest.raises(LogPolicyError, match="no quorum line") as caught:
        read_policy(file)
    assert caught.value.place == str(file)
    file.write_text("quorum\n")
    with pytest.raises(LogPolicyError) as caught:
        read_policy(file)
    assert caught.value.place == f"{file}, line 1"


def test_only_what_the_quorum_cosigned_counts(log: WitnessedLog) -> None:
    signed = log.store.signed()
    with pytest.raises(QuorumError, match="5 entries is not cosigned"):
        log.policy.open(signed)
    assert log.policy.open_signed(signed).size == 5
    one = log.observers[0].witness.add_checkpoint(log.submission(0).body)
    with pytest.raises(QuorumError):
        log.policy.open(signed + one)
    assert log.policy.cosigners(signed + one) == ("auditor",)
    both = one + log.observers[1].witness.add_checkpoint(log.submission(0).body)
    assert log.policy.open(signed + both).size == 5
    assert log.policy.cosigners(signed + both) == ("auditor", "bureau")


def test_a_log_that_the_policy_does_not_name_counts_nothing(log: WitnessedLog) -> None:
    note = log.cosign(0)
    other = LogPolicy.parse(f"log {LOG.vkey}\nquorum none".encode())
    with pytest.raises(ProofError):  # the same name, another key
        other.open(note)
    stranger = NoteKey("stranger.example", LOG.key)
    nobody = LogPolicy.parse(f"log {stranger.vkey}\nquorum none".encode())
    with pytest.raises(ProofError, match="knows no log"):
        nobody.open(note)
