"""A witness: what it cosigns, what it answers otherwise, and what it keeps."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import ORIGIN, Parties, SampleLog
from tests.unit.tlog.witnessed_log import NOW_S, Observer, WitnessedLog, witnessed_log
from veilscore.keys.errors import ProofError, SignatureError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.cosignature import cosign, cosigned_at
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.note import sign_note, text_of
from veilscore.keys.tlog.tree import EMPTY_ROOT
from veilscore.keys.tlog.witness import Answer, NotCosignedError, Submission


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[WitnessedLog]:
    with witnessed_log(tmp_path, parties) as made:
        made.fill(5, "bank")
        yield made


@pytest.fixture
def observer(log: WitnessedLog) -> Observer:
    return log.observers[0]


def refused(observer: Observer, submission: Submission | bytes) -> NotCosignedError:
    body = submission if isinstance(submission, bytes) else submission.body
    with pytest.raises(NotCosignedError) as caught:
        observer.witness.add_checkpoint(body)
    return caught.value


def another_log(folder: Path, parties: Parties, count: int, actor: str) -> SampleLog:
    """Return a second version of the log, signed with its true key."""
    folder.mkdir()
    other = SampleLog(folder, parties)
    other.fill(count, actor)
    return other


def test_what_continues_the_last_checkpoint_is_cosigned(
    log: WitnessedLog, observer: Observer
) -> None:
    for old, more in ((0, 0), (5, 300), (305, 1)):
        if more:
            log.fill(more, "bank")
        note = log.store.signed()
        line = observer.witness.add_checkpoint(log.submission(old).body)
        assert cosigned_at(note + line, observer.witness.key) == NOW_S
    digest = hashlib.sha256(ORIGIN.encode()).hexdigest()
    latest = observer.witness.latest(digest)
    assert latest.startswith(note)
    assert cosigned_at(latest, observer.witness.key) == NOW_S
    assert observer.found == []


def test_the_same_checkpoint_is_cosigned_again(
    log: WitnessedLog, observer: Observer
) -> None:
    observer.witness.add_checkpoint(log.submission(0).body)
    assert observer.witness.add_checkpoint(Submission(5, (), log.store.signed()).body)
    answer = refused(observer, Submission(5, (bytes(32),), log.store.signed()))
    assert answer.answer is Answer.NOT_CONSISTENT


def test_an_empty_log_is_cosigned(observer: Observer, parties: Parties) -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    note = sign_checkpoint(empty, parties.signers["hub"])
    assert observer.witness.add_checkpoint(Submission(0, (), note).body)
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), parties.signers["hub"])
    assert refused(observer, Submission(0, (), wrong)).answer is Answer.CONFLICT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n",
        b"old -1\n\nx",
        b"new 0\n\n",
        b"\xff",
        b"old 0\nnot base64\n\n",
        b"old 0\n" + b"AAAA\n" * 64 + b"\n",
    ],
)
def test_what_is_no_request_is_refused(
    log: WitnessedLog, observer: Observer, body: bytes
) -> None:
    note = log.store.signed().encode()
    assert refused(observer, body + note).answer is Answer.MALFORMED


def test_an_old_size_beyond_the_checkpoint_is_malformed(
    log: WitnessedLog, observer: Observer
) -> None:
    answer = refused(observer, Submission(6, (), log.store.signed()))
    assert answer.answer is Answer.MALFORMED


def test_an_unknown_log_and_a_strange_signature_are_told_apart(
    log: WitnessedLog, observer: Observer, parties: Parties
) -> None:
    head = Checkpoint("other.example/log", 5, bytes(32))
    unknown = Submission(0, (), sign_checkpoint(head, parties.signers["hub"]))
    assert refused(observer, unknown).answer is Answer.UNKNOWN_LOG
    head = Checkpoint(ORIGIN, 5, bytes(32))
    strange = Submission(0, (), sign_checkpoint(head, Signer.generate()))
    assert refused(observer, strange).answer is Answer.NOT_SIGNED
    damaged = log.store.signed().replace("\n5\n", "\n6\n")
    assert refused(observer, Submission(0, (), damaged)).answer is Answer.NOT_SIGNED
    odd = sign_note(f"{ORIGIN}\n5\n", ORIGIN, parties.signers["hub"])
    assert refused(observer, Submission(0, (), odd)).answer is Answer.MALFORMED
    with pytest.raises(NotCosignedError) as caught:
        observer.witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert caught.value.answer is Answer.UNKNOWN_LOG


def test_a_request_from_another_size_is_told_the_right_one(
    log: WitnessedLog, observer: Observer
) -> None:
    observer.witness.add_checkpoint(log.submission(0).body)
    old = log.store.signed()
    log.fill(3, "bank")
    answer = refused(observer, log.submission(0))
    assert (answer.answer, answer.size) == (Answer.CONFLICT, 5)
    observer.witness.add_checkpoint(log.submission(5).body)
    rolled_back = refused(observer, Submission(5, (), old))
    assert (rolled_back.answer, rolled_back.size) == (Answer.CONFLICT, 8)
    assert observer.found == []  # an old checkpoint alone contradicts nothing


def test_a_wrong_proof_is_refused_and_kept(
    log: WitnessedLog, observer: Observer
) -> None:
    observer.witness.add_checkpoint(log.submission(0).body)
    first = log.store.signed()
    log.fill(3, "bank")
    good = log.submission(5)
    bad = Submission(5, (bytes(32), *good.path[1:]), good.note)
    assert refused(observer, bad).answer is Answer.NOT_CONSISTENT
    assert observer.found == [Contradiction(log.store.key, first, good.note)]
    assert not observer.found[0].is_proof  # an honest log may send a wrong proof
    assert observer.witness.add_checkpoint(good.body)


def test_nobody_makes_evidence_of_an_honest_log(
    log: WitnessedLog, observer: Observer
) -> None:
    """By a wrong proof from a checkpoint to itself, and by lines of a stranger."""
    observer.witness.add_checkpoint(log.submission(0).body)
    note = log.store.signed()
    line = cosign(text_of(note), "stranger.example", Signer.generate(), NOW_S)
    wrong = Submission(5, (bytes(32),), note + line)
    assert refused(observer, wrong).answer is Answer.NOT_CONSISTENT
    assert observer.found == []


def test_lines_of_strangers_are_not_passed_on(
    log: WitnessedLog, observer: Observer
) -> None:
    """A wrong line of another witness would make the note useless to all."""
    note = log.store.signed()
    other = log.observers[1].witness.key
    forged = other.line(bytes(72))
    observer.witness.add_checkpoint(Submission(0, (), note + forged).body)
    latest = observer.witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert log.policy.cosigners(latest) == ("auditor",)


def test_two_trees_of_one_size_are_proof_for_everybody(
    log: WitnessedLog, observer: Observer, parties: Parties, tmp_path: Path
) -> None:
    observer.witness.add_checkpoint(log.submission(0).body)
    fork = another_log(tmp_path / "fork", parties, 5, "market")
    for old in (0, 5):
        answer = refused(observer, Submission(old, (), fork.store.signed()))
        assert (answer.answer, answer.size) == (Answer.CONFLICT, 5)
    found = observer.found[0]
    assert found.is_proof
    signer = Signer.generate()
    file = Evidence.sign(found, "auditor.example/witness", signer, NOW_S)
    evidence = Evidence.load(file)
    assert evidence == Evidence(
        found, "auditor.example/witness", signer.verify_key, NOW_S
    )
    with pytest.raises(SignatureError):
        Evidence.load(file.replace(b"auditor.example", b"nobody.example"))
    with pytest.raises(ProofError, match="not signed by"):
        Contradiction(
            log.store.key,
            log.store.signed(),
            sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), Signer.generate()),
        )
    fork.store.close()


def test_a_split_view_is_cosigned_on_one_side_only(
    log: WitnessedLog, observer: Observer, parties: Parties, tmp_path: Path
) -> None:
    """The other version is longer and has a true key, and a proof of its own."""
    observer.witness.add_checkpoint(log.submission(0).body)
    fork = another_log(tmp_path / "fork", parties, 9, "market")
    path = fork.store.consistency(5, 9)
    answer = refused(observer, Submission(5, path, fork.store.signed()))
    assert answer.answer is Answer.NOT_CONSISTENT
    (found,) = observer.found
    assert [each.size for each in found.checkpoints()] == [5, 9]
    fork.store.close()


def test_what_was_cosigned_is_remembered(log: WitnessedLog, observer: Observer) -> None:
    observer.witness.add_checkpoint(log.submission(0).body)
    again = Database(observer.database.path)
    restarted = Observer.watch("auditor", again.path.parent, log.store)
    answer = refused(restarted, log.submission(0))
    assert (answer.answer, answer.size) == (Answer.CONFLICT, 5)
    restarted.database.close()
    again.close()


def test_requests_at_once_never_take_a_cosignature_back(
    log: WitnessedLog, observer: Observer
) -> None:
    """The race that tlog-witness describes: the stored size only grows."""
    observer.witness.add_checkpoint(log.submission(0).body)
    bodies: list[bytes] = []
    for _ in range(20):
        log.fill(1, "bank")
        bodies.append(log.submission(5).body)

    def submit(body: bytes) -> int:
        try:
            observer.witness.add_checkpoint(body)
        except NotCosignedError as error:
            return error.size or -1  # it names none: another answer than a conflict
        return 0

    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(submit, bodies))
    assert sizes.count(0) == 1
    (told,) = set(sizes) - {0}  # all others were told one and the same size
    assert told == 6 + sizes.index(0)
