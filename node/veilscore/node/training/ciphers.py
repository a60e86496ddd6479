"""The ports of vertical training, filled with Paillier, masks and worker processes.

Learns nothing by itself: it computes what the scripts of
``veilscore.models.vertical`` ask for. Answers under a peer's key are always
re-randomised with fresh r^n; noise made faster is only for own fresh encryptions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from veilscore.keys import masks
from veilscore.keys.errors import ReplayError
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.vertical.ports import Codes, Words


@dataclass(frozen=True, slots=True)
class OwnPaillier:
    """Own key pair; see ``ports.OwnKey``."""

    private: PrivateKey
    workers: PaillierWorkers

    @property
    def modulus(self) -> int:
        """The modulus n."""
        return self.private.public.n

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a ciphertext in bytes."""
        return self.private.public.ciphertext_bytes

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        """Encrypt integers in (-n/2, n/2), one ciphertext each."""
        public = self.private.public
        residues = [public.to_residue(value) for value in plaintexts]
        return public.encode(self.workers.encrypt_own(self.private, residues))

    def decrypt(self, ciphertexts: bytes) -> list[int]:
        """Decrypt ciphertexts to residues in [0, n)."""
        checked = self.private.public.decode(ciphertexts)
        return self.workers.decrypt(self.private, checked)

    def decrypt_sum(self, shares: Sequence[bytes]) -> list[int]:
        """Add ciphertext vectors of equal length and decrypt their sums."""
        public = self.private.public
        total = public.decode(shares[0])
        for share in shares[1:]:
            total = public.add(total, public.decode(share, len(total)))
        return self.workers.decrypt(self.private, total)


@dataclass(frozen=True, slots=True)
class PeerPaillier:
    """Another party's public key; see ``ports.PeerKey``."""

    public: PublicKey
    workers: PaillierWorkers

    @property
    def modulus(self) -> int:
        """The modulus n."""
        return self.public.n

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a ciphertext in bytes."""
        return self.public.ciphertext_bytes

    def histogram(
        self, rows: bytes, codes: Codes, bin_counts: Sequence[int]
    ) -> list[list[int]]:
        """Sum the rows of every bin of every column, under encryption."""
        ciphertexts = self.public.decode(rows, len(codes))
        return self.workers.histogram(self.public, ciphertexts, codes, bin_counts)

    def add(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Add two encrypted vectors of equal length, element by element."""
        return self.public.add(left, right)

    def combine(
        self, ciphertexts: Sequence[int], weights: Sequence[Sequence[int]]
    ) -> list[int]:
        """Return one encrypted weighted sum of all ciphertexts per weight row."""
        matrix = np.array(weights, dtype=np.int64)
        return self.workers.weighted_products(self.public, ciphertexts, matrix)

    def answer(self, ciphertexts: Sequence[int], masks: Sequence[int] | None) -> bytes:
        """Add plaintext masks, re-randomise with fresh r^n, encode."""
        if masks is not None:
            ciphertexts = self.public.add_plain(ciphertexts, masks)
        return self.public.encode(self.workers.rerandomise(self.public, ciphertexts))

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        """Encrypt this party's own residues in [0, n) under the peer's key."""
        return self.public.encode(self.workers.encrypt_for(self.public, plaintexts))


@dataclass(slots=True)
class RunMasks:
    """Zero-sum masks among the feature holders of one run.

    The pair secrets live as long as the run's keys, in memory only, so a label
    cannot come back after a restart; within the run it is used once.
    """

    name: str
    secrets: Mapping[str, bytes] = field(repr=False)
    _used: set[str] = field(default_factory=set[str])

    def _use(self, label: str) -> None:
        if label in self._used:
            raise ReplayError(f"a mask for {label} was made before in this run")
        self._used.add(label)

    def residues(self, label: str, count: int, modulus: int) -> list[int]:
        """Return ``count`` masks, each uniform in [0, modulus)."""
        self._use(label)
        return masks.zero_sum_residues(self.name, self.secrets, label, count, modulus)

    def words(self, label: str, count: int) -> Words:
        """Return ``count`` masks modulo 2^64."""
        self._use(label)
        return masks.zero_sum_words(self.name, self.secrets, label, count)
