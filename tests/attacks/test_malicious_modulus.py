"""C2: an owner whose n is p²q reads through masks and fresh noise alike.

Modulo p^4 a ciphertext 1 + p·a keeps a modulo p, whatever mask is added (it moves a by
multiples of p) and whatever r^n is multiplied in (by multiples of p², once the part of
order p - 1 is raised away). Row i carries a = 2^i, so a masked bin shows which rows are
in it. The defence is the proof that comes with every registered key.
"""

import secrets
from collections.abc import Callable, Generator
from datetime import date
from pathlib import Path

import numpy as np
import phe
import pytest
from gmpy2 import invert, is_prime, mpz, next_prime, powmod

from tests.conftest import Tell
from veilscore.coordinator import config, setup
from veilscore.keys.certificates import TlsKey
from veilscore.keys.enrolment import PartyCard
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.fixed_width import read_integers, write_integers
from veilscore.keys.paillier.modulus_proof import (
    ALPHA,
    ROOTS,
    CertifiedModulus,
    elements,
    verify_modulus,
)
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import SCORE, ReceivingKeys, verify_signed_key
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.node.training.ciphers import PeerPaillier

NOW = 1_790_000_000
ROWS, BINS = 1000, 10
Forge = Callable[["Thief"], bytes]


class Thief:
    """A label holder with n = p²q of 3072 bits."""

    def __init__(self) -> None:
        self.p = next_prime(mpz(secrets.randbits(1024) | 3 << 1022))
        self.q = next_prime(mpz(secrets.randbits(1024) | 3 << 1022))
        self.public = PublicKey(int(self.p**2 * self.q))
        self.honest = PrivateKey.generate(3072)

    def rows(self) -> bytes:
        """Return a "ciphertext" a row, row i with a = 2^i."""
        square, rest = self.p**4, self.q**2
        lift = rest * invert(rest, square)
        return self.public.encode(
            int((1 + (self.p << row) * lift) % (square * rest)) for row in range(ROWS)
        )

    def members(self, answer: int) -> set[int]:
        """Return the rows whose sum an answer is, whatever was multiplied in."""
        plain = powmod(answer, self.p - 1, self.p**2)
        bits = -((plain - 1) // self.p) % self.p
        return {row for row in range(ROWS) if int(bits) >> row & 1}


@pytest.fixture(scope="module")
def thief() -> Thief:
    return Thief()


@pytest.fixture
def workers() -> Generator[PaillierWorkers]:
    made = PaillierWorkers(0)
    yield made
    made.close()


def test_without_the_proof_every_row_of_a_masked_histogram_is_read(
    thief: Thief, workers: PaillierWorkers, tell: Tell
) -> None:
    holder = PeerPaillier(thief.public, workers)
    codes = np.random.default_rng(2).integers(0, BINS, (ROWS, 1)).astype(np.uint16)
    (sums,) = holder.histogram(thief.rows(), codes, [BINS])
    masks = [secrets.randbelow(thief.public.n) for _ in sums]
    answers = thief.public.decode(holder.answer(sums, masks))
    read = [thief.members(answer) for answer in answers]
    right = sum(row in read[int(code)] for row, (code,) in enumerate(codes))
    assert sum(len(rows) for rows in read) == right == ROWS
    tell("C2 rows read, were the proof not asked for", right, ROWS)


def spoil(proof: bytes, width: int, number: int) -> bytes:
    roots = read_integers(proof, width)
    roots[number] += 1
    return write_integers(roots, width)


FORGERIES: dict[str, Forge] = {
    "no proof": lambda _thief: b"",
    "the elements themselves": lambda thief: write_integers(
        elements(thief.public, "bank"), thief.public.residue_bytes
    ),
    "roots where there are some": lambda thief: write_integers(
        best_effort(thief), thief.public.residue_bytes
    ),
    "zeros": lambda thief: bytes(ROOTS * thief.public.residue_bytes),
    "random roots": lambda thief: write_integers(
        (secrets.randbelow(thief.public.n) for _ in range(ROOTS)),
        thief.public.residue_bytes,
    ),
    "the proof of a good key": lambda thief: thief.honest.certify("bank").proof,
    "too many roots": lambda thief: bytes((ROOTS + 1) * thief.public.residue_bytes),
    "half a proof": lambda thief: bytes(ROOTS * thief.public.residue_bytes // 2),
}


def best_effort(thief: Thief) -> list[mpz]:
    """Return true roots modulo q, and modulo p² of the elements that have one."""
    square, q, n = thief.p**2, thief.q, thief.public.n
    step = square * invert(square, q)
    roots: list[mpz] = []
    for element in elements(thief.public, "bank"):
        at_q = powmod(element, invert(n, q - 1), q)
        # n-th powers modulo p² are those of order dividing p - 1.
        has_root = powmod(element, thief.p - 1, square) == 1
        at_p = powmod(element, invert(n, thief.p - 1), square) if has_root else mpz(1)
        roots.append((at_p + (at_q - at_p) * step) % n)
    return roots


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_proof_is_refused(thief: Thief, name: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        verify_modulus(thief.public, "bank", FORGERIES[name](thief))
    assert caught.value.party == "bank"


def test_a_thief_has_a_root_for_no_element(thief: Thief, tell: Tell) -> None:
    wanted = elements(thief.public, "bank")
    pairs = zip(best_effort(thief), wanted, strict=True)
    n = thief.public.n
    found = sum(powmod(root, n, n) == element for root, element in pairs)
    tell("C2 roots that the owner of p²q can show", f"{found} of {ROOTS}", ROOTS - 1)
    assert found == 0


@pytest.mark.parametrize("number", range(ROOTS))
def test_every_root_counts(thief: Thief, number: int) -> None:
    public, good = thief.honest.public, thief.honest.certify("bank").proof
    verify_modulus(public, "bank", good)
    with pytest.raises(InvalidKeyError, match=f"root {number + 1} of {ROOTS}"):
        verify_modulus(public, "bank", spoil(good, public.residue_bytes, number))


def test_a_root_in_another_spelling_is_refused(thief: Thief) -> None:
    honest = thief.honest
    while honest.public.n >> 3064 > 150:  # 11 roots: one of them leaves room for n
        honest = PrivateKey.generate(3072)
    public, width = honest.public, honest.public.residue_bytes
    roots = read_integers(honest.certify("bank").proof, width)
    small = next(i for i, root in enumerate(roots) if root + public.n < 1 << 8 * width)
    roots[small] += public.n
    with pytest.raises(InvalidKeyError, match="does not hold"):
        verify_modulus(public, "bank", write_integers(roots, width))


def test_a_proof_speaks_for_one_party_only(thief: Thief) -> None:
    certified = thief.honest.certify("bank")
    assert certified.key("bank") == thief.honest.public
    with pytest.raises(InvalidKeyError, match="bureau, root 1"):
        certified.key("bureau")


@pytest.mark.parametrize("factor", [3, 5, 101, 6367])
def test_a_small_factor_is_refused(thief: Thief, factor: int) -> None:
    assert is_prime(factor)
    assert factor < ALPHA
    public = PublicKey(int(next_prime(thief.p << 2030)) * factor)
    with pytest.raises(InvalidKeyError, match="small factor"):
        verify_modulus(public, "bank", b"")


def test_keys_of_plain_python_paillier_are_accepted() -> None:
    _, private = phe.generate_paillier_keypair(n_length=2048)
    key = PrivateKey.from_phe(private)
    assert key.certify("bank").key("bank", 2048) == key.public


BAD_MODULI: dict[str, Callable[[Thief], int]] = {
    "p squared times q": lambda thief: thief.public.n,
    "a power": lambda thief: int(thief.p**3),
    "even": lambda thief: thief.honest.public.n + 1,
    "a prime": lambda thief: int(next_prime(thief.p << 2048)),
    "too small": lambda thief: int(thief.p * thief.q) >> 64 | 1,
    "too large": lambda thief: int(thief.p**9) | 1,
}


@pytest.mark.parametrize("name", BAD_MODULI)
def test_registration_refuses_it(thief: Thief, tmp_path: Path, name: str) -> None:
    n = BAD_MODULI[name](thief)
    modulus = n.to_bytes((n.bit_length() + 7) // 8)
    claim = CertifiedModulus(modulus, bytes(ROOTS * len(modulus)))
    signer = Signer.generate()
    request = TlsKey.generate().request("bank")
    roles = {Role.REQUESTER}
    card = PartyCard.sign(signer, "bank", roles, request, paillier=claim)
    folder = tmp_path / "coordinator"
    setup.create(setup.NewCoordinator(folder, "hub.example", 9443, 9444, 9080), NOW)
    settings = config.read(folder / "coordinator.toml")
    before = settings.registry.read_bytes()
    with pytest.raises(InvalidKeyError) as caught:
        setup.admit(settings, card, signer.verify_key.fingerprint, NOW)
    assert caught.value.party == "bank"
    assert settings.registry.read_bytes() == before


def test_a_coordinator_that_registers_it_helps_nobody(thief: Thief) -> None:
    """Every party verifies the proof itself, before it uses the key for anything."""
    bank, hub = Signer.generate(), Signer.generate()
    proof = thief.honest.certify("bank").proof
    claim = CertifiedModulus(thief.public.to_bytes(), proof)
    day = date(2026, 3, 1)
    records = (
        PartyRecord(
            "bank", frozenset({Role.REQUESTER}), bank.verify_key, "", day, claim
        ),
        PartyRecord("hub", frozenset({Role.COORDINATOR}), hub.verify_key, "", day),
    )
    file = Registry.sign(records, hub, 1)
    registry = Registry.load(file, hub.verify_key.fingerprint)
    signed = ReceivingKeys.generate().signed(
        bank, "bank", SCORE, paillier=thief.public, not_before=0, not_after=NOW
    )
    keys = verify_signed_key(signed, registry, SCORE, 1)
    with pytest.raises(InvalidKeyError, match="bank, root 1 of 11"):
        keys.paillier_key()
