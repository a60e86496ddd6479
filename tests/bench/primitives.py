"""Single operations of the engine, tables built beforehand and shown by themselves."""

from collections.abc import Iterator

from tests.bench.measure import Cost, least, timed
from tests.bench.plain_phe import Operations
from tests.bench.rows import Measured, Sizes
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey

_REPEATS = 3
_FAST = 10  # times as many samples of what takes a tenth of the time


def owner_encryption(key: PrivateKey, by: str, sizes: Sizes) -> Iterator[Measured]:
    """Measure what depends on the kind of primes: the owner's own encryption."""
    owner, tables = timed(lambda: OwnerEncryptor(key))
    yield Measured("tables of an owner", by, "key", tables)
    yield _encryption("encrypt, as owner", owner, key, by, sizes)


def primitives(key: PrivateKey, by: str, sizes: Sizes) -> Iterator[Measured]:
    """Measure every operation."""
    public, count, many = key.public, sizes.samples, sizes.samples * _FAST
    yield from owner_encryption(key, by, sizes)
    peer, tables = timed(lambda: PeerEncryptor(public))
    yield Measured("tables of a peer", by, "key", tables)
    yield _encryption("encrypt, as peer", peer, key, by, sizes)

    def operation(what: str, cost: Cost, naive: Operations | None) -> Measured:
        return Measured(what, by, "operation", cost, naive)

    ciphertexts = peer.encrypt(range(many))
    yield operation(
        "draw noise for an answer",
        least(lambda: draw_noise(public, count), count, _REPEATS),
        Operations(rerandomisations=1),
    )
    pool = NoisePool(public, draw_noise(public, many))
    answers, cost = timed(lambda: pool.rerandomise(ciphertexts))
    yield operation(
        "answer with ready noise",
        cost.times(1 / many).sending(public.ciphertext_bytes),
        Operations(rerandomisations=1, ciphertexts_sent=1),
    )
    yield operation(
        "check what arrives",
        least(lambda: public.decode(public.encode(ciphertexts)), many, _REPEATS),
        None,
    )
    yield operation(
        "add",
        least(lambda: public.add(ciphertexts, answers), many, _REPEATS),
        Operations(additions=1),
    )
    yield operation(
        "decrypt",
        least(lambda: key.decrypt(answers[:count]), count, _REPEATS),
        Operations(decryptions=1),
    )
    if key.decrypt(answers) != list(range(many)):
        raise ArithmeticError("an answer does not decrypt to what was encrypted")


def _encryption(
    what: str,
    encryptor: OwnerEncryptor | PeerEncryptor,
    key: PrivateKey,
    by: str,
    sizes: Sizes,
) -> Measured:
    plaintexts = range(sizes.samples * _FAST)
    cost = least(lambda: encryptor.encrypt(plaintexts), len(plaintexts), _REPEATS)
    return Measured(
        what,
        by,
        "operation",
        cost.sending(key.public.ciphertext_bytes),
        Operations(encryptions=1, ciphertexts_sent=1),
    )
