"""Attacks on a hosted card by the requester.

Where it can be done, an attack is also run with its defence taken away and must then
succeed: else its failure would prove nothing.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gmpy2 import mpz, powmod

from tests.conftest import Tell
from tests.protocol.hosted_cards import HOLDER, RawHostedRequester, cards, hosted
from tests.protocol.score_world import World
from veilscore.keys.paillier.modulus_proof import CertifiedModulus
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.models.hosted import WIDEST_SLOT, FixedPoint, Form, HostedCard
from veilscore.models.padded_batch import Batch
from veilscore.node.hosting.host import HostSituation, accept
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.scoring.refusals import QueryRefusedError, Reason

WEIGHTS = 200
DIGIT = 10  # bits of a weight
CARD = HostedCard.of(
    Form(
        HOLDER,
        "secret",
        tuple(FixedPoint(f"x{at}", 1, 0.0, 1.0) for at in range(WEIGHTS)),
        WIDEST_SLOT,
    ),
    [[1 + secrets.randbelow((1 << DIGIT) - 1)] for _ in range(WEIGHTS)],
)
FORM = CARD.form
# Digits of noise that equal a weight by chance: .2 are expected, 6 are never seen.
CHANCE = 5


@pytest.fixture
def bank(hub: World) -> RawHostedRequester:
    hub.node(HOLDER, hosted=cards(hosted(CARD)))
    return RawHostedRequester(hub)


@pytest.fixture
def no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the defence away: answers whose high bits are left as they are."""

    # Of this module only: noise of answers is drawn as before.
    def lowest(bound: int) -> int:
        del bound
        return 0

    never = SimpleNamespace(randbelow=lowest)
    monkeypatch.setattr("veilscore.models.padded_batch.secrets", never)


def digits(bank: RawHostedRequester, count: int) -> list[int]:
    """Ask for one score of 2^(10 i) in input i, and read the answer's digits."""
    powers = [1 << DIGIT * at for at in range(WEIGHTS)]
    body = bank.crafted(FORM, powers * len(batch(bank, count).sizes), count)
    start = sum(1 << FORM.bits * slot + FORM.bits - 1 for slot in range(count))
    (residue,) = bank.residues(body)
    shown = (residue - start) % bank.public.n
    return [shown >> DIGIT * at & (1 << DIGIT) - 1 for at in range(WEIGHTS)]


def batch(bank: RawHostedRequester, count: int) -> Batch:
    return Batch(bank.public.n, FORM.bits, count)


def read_right(shown: Sequence[int]) -> int:
    return sum(map(int.__eq__, shown, CARD.exponents))


def test_c5_one_query_reads_what_it_is_charged_and_no_more(
    hub: World, bank: RawHostedRequester, tell: Tell
) -> None:
    found = read_right(digits(bank, 1))
    tell("C5 weights of 200 read by one query for one applicant", found, 2)
    spent = hub.nodes[HOLDER].ledger.spent("bank", FORM.card)
    assert spent == FORM.bits + 1
    assert 1 <= found <= spent // DIGIT + CHANCE


@pytest.mark.usefixtures("no_padding")
def test_c5_without_the_padding_one_query_carries_the_card_out(
    bank: RawHostedRequester, tell: Tell
) -> None:
    found = read_right(digits(bank, 1))
    told = f"{found} of {WEIGHTS}"
    tell("C5 weights read by one query, were answers not padded", told, "none")
    assert found == WEIGHTS


def test_c5_a_full_query_is_charged_all_that_it_can_carry(
    hub: World, bank: RawHostedRequester, tell: Tell
) -> None:
    """More applicants leave more low bits open: the charge grows with them."""
    count = 50
    found = read_right(digits(bank, count))
    spent = hub.nodes[HOLDER].ledger.spent("bank", FORM.card)
    assert spent == batch(bank, count).charge == count * FORM.bits + 1
    tell("C5 weights of 200 read by one query for 50", found, spent // DIGIT)
    assert found >= 90  # the attack works as far as the bits reach
    assert found <= spent // DIGIT + CHANCE


def test_c5_queries_stop_at_the_budget_over_restarts_and_keys(
    hub: World, tell: Tell
) -> None:
    charge = FORM.bits + 1
    node = hub.node(HOLDER, hosted=cards(hosted(CARD, budget_bits=5 * charge)))
    bank, found = RawHostedRequester(hub), list[int]()
    for at in range(WEIGHTS):
        rows = [[int(at == place) for place in range(WEIGHTS)]]
        reply = bank.ask_hosted(bank.query(FORM, rows))
        if reply.HasField("refusal"):
            assert reply.refusal.code == "budget-spent"
            break
        residues = bank.private.decrypt(bank.public.decode(reply.answer.ciphertexts))
        found += batch(bank, 1).unpack(residues)
        if at == 2:
            node.stop()
            hub.people = hub.people.with_paillier("bank", PrivateKey.generate(2048))
            node.start()
            bank = RawHostedRequester(hub)
    tell("C5 weights of 200 read with a budget for 5 scores", len(found), 5)
    assert found == CARD.exponents[:5]
    node.stop()
    node.start()
    rows = [[0] * WEIGHTS]
    assert bank.hosted_code(bank.query(FORM, rows)) == "budget-spent"


def weights_by_noise(bank: RawHostedRequester, places: Sequence[int]) -> int:
    """Ask about zeros only; say how many weights the noise of the answers shows.

    All ciphertexts are 1 but one, which is an n-th residue u of the owner's choice: the
    answer's noise is u^w, if nothing else was multiplied to it.
    """
    public, right = bank.public, 0
    n, square = mpz(public.n), mpz(public.n_squared)
    for place in places:
        u = powmod(secrets.randbelow(public.n), n, square)
        blind = [1] * WEIGHTS
        blind[place] = int(u)
        body = bank.crafted(FORM, [0] * WEIGHTS, 1)
        body.ciphertexts = public.encode(blind)
        reply = bank.ask_hosted(body)
        (answer,) = public.decode(reply.answer.ciphertexts)
        (plain,) = bank.private.decrypt([answer])
        noise = answer * powmod(1 + n * plain, -1, square) % square
        power, found = mpz(1), 0
        while power != noise and found <= 1 << DIGIT:
            power, found = power * u % square, found + 1
        right += found == CARD.exponents[place]
    return right


def test_h1_the_noise_of_an_answer_says_nothing_of_the_weights(
    bank: RawHostedRequester, tell: Tell
) -> None:
    found = weights_by_noise(bank, range(8))
    tell("H1 hosted weights read from the noise of all-zero queries", found, 0)
    assert found == 0


def test_h1_without_rerandomising_all_of_them_are_read(
    hub: World, bank: RawHostedRequester, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    def unchanged(public: PublicKey, ciphertexts: Sequence[int]) -> list[int]:
        del public
        return list(ciphertexts)

    monkeypatch.setattr(hub.nodes[HOLDER].workers, "rerandomise", unchanged)
    found = weights_by_noise(bank, range(8))
    tell("H1 hosted weights read, were answers not re-randomised", found, "none")
    assert found == 8


def test_c2_no_arithmetic_is_done_under_a_key_without_its_proof(
    hub: World, bank: RawHostedRequester
) -> None:
    query = HostedQuery.of(bank.query(FORM, [[0] * WEIGHTS]))
    node, peers = hub.nodes[HOLDER], bank.peers
    good = peers["bank"].paillier
    assert good is not None
    forged = CertifiedModulus(good.modulus, good.proof[1:] + good.proof[:1])
    situation = HostSituation(
        party=HOLDER,
        sender=hub.people.registry.party("bank"),
        hosted=node.hosted.get(query.body.form),
        keys={peers[HOLDER].digest: bank.keys},
        peers=peers,
        nonce_seen=False,
        spent=0,
        now=hub.now,
    )
    assert accept(query, situation).public == bank.public
    lying = {**peers, "bank": replace(peers["bank"], paillier=forged)}
    with pytest.raises(QueryRefusedError) as caught:
        accept(query, replace(situation, peers=lying))
    assert caught.value.code == Reason.BAD_MODULUS


def test_a_form_tells_the_size_of_scores_and_nothing_else_of_the_weights() -> None:
    """Cards with other weights of the same size have the same form."""
    other = HostedCard.of(
        replace(FORM, bits=WIDEST_SLOT),
        [[w] for w in reversed(CARD.exponents)],
    )
    assert other.form == FORM
    assert other.exponents != CARD.exponents
