"""How fast this host computes what a run consists of, measured with empty numbers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeVar

import numpy as np

from veilscore.keys import linkage
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.node.training.alignment import THREADS

_R = TypeVar("_R")

_ENCRYPTIONS: Final = 128
_DECRYPTIONS: Final = 16
_ROWS: Final = 2048
_POINTS: Final = 512
_PROVEN: Final = 1.65  # adding a point up for the proof is .65 of raising it


@dataclass(frozen=True, slots=True)
class HostSpeed:
    """Seconds that one of many takes, all workers or threads at work."""

    point_s: float  # to raise a point and add it up for the proof
    encryption_s: float  # under the own key
    decryption_s: float
    multiplication_s: float  # of two ciphertexts

    @classmethod
    def measure(cls, private: PrivateKey, workers: PaillierWorkers) -> Self:
        """Try everything out: some tenths of a second, on a busy host more.

        What else the host does meanwhile is part of the result. Raises WorkerError
        when a worker process is lost.
        """
        empty = [0] * _ENCRYPTIONS
        workers.encrypt_own(private, empty[: workers.lanes])  # tables, which last
        ciphertexts, encrypting = _timed(lambda: workers.encrypt_own(private, empty))
        rows = ciphertexts * (_ROWS // _ENCRYPTIONS)
        one_bin = np.zeros((_ROWS, 1), dtype=np.uint8)
        few = ciphertexts[:_DECRYPTIONS]
        _, decrypting = _timed(lambda: workers.decrypt(private, few))
        _, multiplying = _timed(
            lambda: workers.histogram(private.public, rows, one_bin, [1])
        )
        points, key = linkage.dummies(_POINTS), linkage.BlindingKey.fresh()
        _, raising = _timed(lambda: key.blind(points, "", threads=THREADS))
        return cls(
            point_s=_PROVEN * raising / _POINTS,
            encryption_s=encrypting / _ENCRYPTIONS,
            decryption_s=decrypting / _DECRYPTIONS,
            multiplication_s=multiplying / _ROWS,
        )


def _timed(work: Callable[[], _R]) -> tuple[_R, float]:
    """Return the result, and how many seconds it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
