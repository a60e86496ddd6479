"""How fast this host computes what a run consists of, measured with empty numbers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from veilscore.keys import linkage, small_exponents
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.node.training.alignment import THREADS

_ENCRYPTIONS: Final = 128
_DECRYPTIONS: Final = 32
_ROWS: Final = 4096
_POINTS: Final = 2048


@dataclass(frozen=True, slots=True)
class HostSpeed:
    """Seconds that one of many takes, all workers or threads at work."""

    point_s: float  # to raise a point and add it up for the proof
    encryption_s: float  # under the own key
    decryption_s: float
    multiplication_s: float  # of two ciphertexts

    @classmethod
    def measure(cls, private: PrivateKey, workers: PaillierWorkers) -> Self:
        """Try everything out: about a second, on a busy host several times that.

        What else the host does meanwhile is part of the result. Raises WorkerError
        when a worker process is lost.
        """
        public, empty = private.public, [0] * _ENCRYPTIONS
        workers.encrypt_own(private, empty)  # makes tables, which last
        ciphertexts = workers.encrypt_own(private, empty)
        many = (ciphertexts * (_ROWS // _ENCRYPTIONS))[:_ROWS]
        one_bin = np.zeros((_ROWS, 1), dtype=np.uint8)
        points, key = linkage.dummies(_POINTS), linkage.BlindingKey.fresh()
        challenge = bytes(small_exponents.CHALLENGE)

        def raise_points() -> None:
            raised = key.blind(points, "", threads=THREADS)
            small_exponents.sums([raised], challenge, "", "")

        return cls(
            point_s=_seconds(raise_points) / _POINTS,
            encryption_s=_seconds(lambda: workers.encrypt_own(private, empty))
            / _ENCRYPTIONS,
            decryption_s=_seconds(
                lambda: workers.decrypt(private, ciphertexts[:_DECRYPTIONS])
            )
            / _DECRYPTIONS,
            multiplication_s=_seconds(
                lambda: workers.histogram(public, many, one_bin, [1])
            )
            / _ROWS,
        )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
