import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import psutil
import pytest

from tests.unit.paillier.conftest import children
from veilscore.keys.errors import PlaintextRangeError, WorkerError
from veilscore.keys.paillier import operations
from veilscore.keys.paillier.answer_noise import AnswerNoise
from veilscore.keys.paillier.histogram import histogram, weighted_products
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.worker_pool import WorkerPool
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.paillier.zero_pool import FreshZero


@pytest.fixture
def others() -> set[psutil.Process]:
    """Child processes that were there before the test."""
    return children()


@pytest.fixture(scope="module", params=[0, 2], ids=["in-process", "two-processes"])
def workers(request: pytest.FixtureRequest) -> Iterator[PaillierWorkers]:
    before = children()
    with PaillierWorkers(int(request.param)) as started:
        yield started
    assert children() <= before


def test_both_encryptions_decrypt(
    workers: PaillierWorkers, private: PrivateKey, stranger: PrivateKey
) -> None:
    plaintexts = [*range(150), private.public.n - 1]
    own = workers.encrypt_own(private, plaintexts)
    assert workers.decrypt(private, own) == plaintexts
    foreign = workers.encrypt_for(stranger.public, plaintexts[:9])
    assert stranger.decrypt(foreign) == plaintexts[:9]
    assert len(set(own) | set(foreign)) == 160


def test_sums_equal_those_of_one_process(
    workers: PaillierWorkers, private: PrivateKey
) -> None:
    key = private.public
    rng = np.random.default_rng(5)
    ciphertexts = workers.encrypt_own(private, range(101))
    bins = rng.integers(0, [3, 8, 5], (101, 3)).astype(np.uint16)
    expected = histogram(key, ciphertexts, bins, [3, 8, 5])
    assert workers.histogram(key, ciphertexts, bins, [3, 8, 5]) == expected
    weights = rng.integers(-(2**20), 2**20, (5, 101))
    products = weighted_products(key, ciphertexts, weights)
    assert workers.weighted_products(key, ciphertexts, weights) == products


def test_answers_are_rerandomised(
    workers: PaillierWorkers, private: PrivateKey
) -> None:
    key = private.public
    workers.prefill(key, 4)
    ciphertexts = workers.encrypt_own(private, range(11))
    answers = workers.rerandomise(key, ciphertexts)
    assert not set(answers) & set(ciphertexts)
    assert workers.decrypt(private, answers) == list(range(11))
    noise = workers.fresh_noise(key, 3)
    assert workers.decrypt(private, [*noise]) == [0, 0, 0]


def test_nothing_to_do(workers: PaillierWorkers, private: PrivateKey) -> None:
    key = private.public
    assert workers.encrypt_own(private, []) == []
    assert workers.decrypt(private, []) == []
    assert workers.rerandomise(key, []) == []
    assert workers.histogram(key, [], np.zeros((0, 2), int), [1, 2]) == [[1], [1, 1]]
    assert workers.weighted_products(key, [], np.zeros((2, 0), int)) == [1, 1]


def test_errors_of_the_work_reach_the_caller(
    workers: PaillierWorkers, private: PrivateKey
) -> None:
    with pytest.raises(PlaintextRangeError) as caught:
        workers.encrypt_for(private.public, [1, -1])
    assert "plaintext" in caught.value.place
    assert caught.value.remedy
    with pytest.raises(ValueError, match="row of bins"):
        workers.histogram(private.public, [1], np.zeros((2, 1), int), [1])


def test_tables_and_noise_can_be_dropped(
    workers: PaillierWorkers, private: PrivateKey
) -> None:
    workers.prefill(private.public, 2)
    workers.drop(private.public)
    ciphertexts = workers.encrypt_own(private, [1, 2, 3, 4])
    assert workers.decrypt(private, ciphertexts) == [1, 2, 3, 4]


def test_dropping_ends_the_processes_that_held_tables(
    private: PrivateKey, others: set[psutil.Process]
) -> None:
    with PaillierWorkers(2) as workers:
        workers.encrypt_own(private, [1, 2])
        holders = children() - others
        assert len(holders) == 2
        workers.drop(private.public)
        assert psutil.wait_procs(holders, timeout=5)[1] == []
        assert len(workers.encrypt_own(private, [1, 2])) == 2
    assert children() <= others


def test_many_threads_share_the_workers(
    workers: PaillierWorkers, private: PrivateKey
) -> None:
    def use(seed: int) -> bool:
        plaintexts = list(range(seed, seed + 5))
        ciphertexts = workers.encrypt_own(private, plaintexts)
        answers = workers.rerandomise(private.public, ciphertexts)
        return workers.decrypt(private, answers) == plaintexts

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(8)))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace noise by numbers that can be recognised; returns those drawn."""
    numbers: list[int] = []

    def draw(_: PublicKey, count: int) -> list[AnswerNoise]:
        fresh = range(2 + len(numbers), 2 + len(numbers) + count)
        numbers.extend(fresh)
        return [AnswerNoise(number) for number in fresh]

    monkeypatch.setattr("veilscore.keys.paillier.workers.draw_noise", draw)
    return numbers


def test_prefilled_noise_is_used_first_and_all_of_it_once(
    private: PrivateKey, stranger: PrivateKey, drawn: list[int]
) -> None:
    key = private.public
    with PaillierWorkers(0) as workers:
        workers.prefill(key, 5)
        workers.prefill(key, 5)
        assert drawn == [2, 3, 4, 5, 6]
        used = workers.rerandomise(key, [1, 1, 1])
        assert used == [2, 3, 4]
        workers.prefill(key, 3)
        assert drawn == [2, 3, 4, 5, 6, 7]
        used += workers.rerandomise(key, [1] * 20)
        assert sorted(used) == drawn == list(range(2, 25))
        workers.prefill(key, 2)
        assert workers.rerandomise(stranger.public, [1]) == [27]
        workers.drop(key)
        assert workers.rerandomise(key, [1]) == [28]


def test_prefilled_zeros_are_used_first_and_each_once(
    private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FreshZero] = []

    def draw(_: PublicKey, count: int) -> list[FreshZero]:
        fresh = [FreshZero(2 + len(made) + more) for more in range(count)]
        made.extend(fresh)
        return fresh

    monkeypatch.setattr("veilscore.keys.paillier.operations.zeros_for", draw)
    key = private.public
    with PaillierWorkers(0) as workers:
        workers.prefill_for(key, 3)
        workers.prefill_for(key, 3)
        assert made == [2, 3, 4]
        assert workers.encrypt_for(key, [0, 0]) == [2, 3]
        last, *rest = workers.encrypt_for(key, [0, 7, 8])
        assert last == 4
        assert workers.decrypt(private, rest) == [7, 8]
        workers.prefill_for(key, 2)
        assert workers.encrypt_for(key, [5]) == key.add_plain([5], [5])
        workers.drop(key)
        assert made == [2, 3, 4, 5, 6]
        assert workers.decrypt(private, workers.encrypt_for(key, [6])) == [6]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_ciphertexts_are_decrypted_like_many(
    workers: PaillierWorkers, private: PrivateKey, count: int
) -> None:
    plaintexts = [private.public.n - 1 - each for each in range(count)]
    ciphertexts = workers.encrypt_own(private, plaintexts)
    assert workers.decrypt(private, ciphertexts) == plaintexts
    assert private.decrypt(ciphertexts) == plaintexts


def test_short_calls_overtake_and_background_work_waits() -> None:
    pool = WorkerPool(1)
    order: list[str] = []

    def note(name: str, _: Future[int]) -> None:
        order.append(name)

    try:
        pool.submit(partial(time.sleep, 0.3))
        jobs: list[Future[int]] = []
        for name, chunk, background in [
            ("noise", 0, True),
            ("long 0", 0, False),
            ("long 1", 1, False),
            ("long 2", 2, False),
            ("short 0", 0, False),
        ]:
            job = pool.submit(os.getpid, chunk=chunk, background=background)
            job.add_done_callback(partial(note, name))
            jobs.append(job)
        for job in jobs:
            job.result(timeout=20)
    finally:
        pool.close()
    assert order == ["long 0", "short 0", "long 1", "long 2", "noise"]


def test_workers_are_nice_light_and_started_without_secrets(
    others: set[psutil.Process],
) -> None:
    pool = WorkerPool(1)
    try:
        nice = pool.submit(partial(os.getpriority, os.PRIO_PROCESS, 0)).result(20)
        assert nice == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        # Refers to a function of the package, so that the worker has it all loaded.
        pool.submit(operations.forget).result(20)
        loaded = pool.submit(partial(eval, "[*__import__('sys').modules]")).result(20)
        assert "veilscore.keys.paillier.private" in loaded
        assert not {"grpc", "fastapi", "flwr", "torch", "cryptography"} & set(loaded)
        [process] = children() - others
        assert process.cmdline()[1:-1] == [
            "-P",
            "-m",
            "veilscore.keys.paillier.worker_process",
        ]
        assert process.cmdline()[-1].isdigit()
        assert set(process.environ()) <= {*os.environ, "OPENBLAS_NUM_THREADS"}
    finally:
        pool.close()
    assert children() <= others


def test_a_killed_worker_fails_its_job_and_is_replaced(
    private: PrivateKey, others: set[psutil.Process]
) -> None:
    with PaillierWorkers(1) as workers:
        workers.encrypt_own(private, [1])
        with ThreadPoolExecutor(1) as threads:
            job = threads.submit(workers.fresh_noise, private.public, 2000)
            time.sleep(0.2)
            [process] = children() - others
            process.send_signal(signal.SIGKILL)
            with pytest.raises(WorkerError, match="before its answer"):
                job.result(timeout=20)
        ciphertexts = workers.encrypt_own(private, [5])
        assert workers.decrypt(private, ciphertexts) == [5]
    assert children() <= others


def test_a_worker_killed_while_idle_takes_no_job_along(
    private: PrivateKey, others: set[psutil.Process]
) -> None:
    with PaillierWorkers(1) as workers:
        ciphertexts = workers.encrypt_own(private, [5])
        [process] = children() - others
        process.kill()
        process.wait(20)
        assert workers.decrypt(private, ciphertexts) == [5]


def test_closing_ends_busy_workers_and_their_callers(
    private: PrivateKey, others: set[psutil.Process]
) -> None:
    workers = PaillierWorkers(2)
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(workers.fresh_noise, private.public, 2000)
        time.sleep(0.2)
        assert len(children() - others) == 2
        start = time.monotonic()
        workers.close()
        assert time.monotonic() - start < 2
        assert children() <= others
        with pytest.raises(WorkerError):
            job.result(timeout=20)
    with pytest.raises(WorkerError, match="closed"):
        workers.fresh_noise(private.public, 1)
    workers.close()


PARENT = """
import sys
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.paillier.zero_pool import FreshZero
import psutil
workers = PaillierWorkers(2)
print(*[child.pid for child in psutil.Process().children()], flush=True)
workers.fresh_noise(PublicKey(int(sys.stdin.readline())), 100000)
"""


def test_workers_die_with_a_killed_parent(private: PrivateKey) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        orphans = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.stdin.write(f"{private.public.n}\n")
        parent.stdin.flush()
        assert len(orphans) == 2
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all(
            orphan.cpu_times().user > 0.3 for orphan in orphans
        ):
            time.sleep(0.05)  # until both are busy
        parent.kill()
    _, alive = psutil.wait_procs(orphans, timeout=3)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
