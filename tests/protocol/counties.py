"""The members of a horizontal run, their coordinator, and what they agree on."""

from datetime import date
from functools import cache

from tests.protocol.farm_tables import LEVELS
from tests.sample_contract import sample_contract
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.v1.training_pb2 import HorizontalTerms, JointColumn, RunContract

HUB = "coordinator"
RUN = "6a" * 16


def county(number: int) -> str:
    """Return a member's name."""
    return f"county-{number}"


@cache
def paillier(name: str) -> PrivateKey:
    """Return a party's key, made once: nothing is encrypted with it here."""
    assert name
    return PrivateKey.generate(2048)


@cache
def signer(name: str) -> Signer:
    assert name
    return Signer.generate()


def registry(members: int) -> Registry:
    """Return the coordinator and so many members."""
    names = [county(number) for number in range(members)]
    holders = [
        PartyRecord(
            name,
            frozenset({Role.DATA_HOLDER}),
            signer(name).verify_key,
            "",
            date.min,
            paillier(name).certify(name),
        )
        for name in names
    ]
    own = PartyRecord(
        HUB, frozenset({Role.COORDINATOR}), signer(HUB).verify_key, "", date.min
    )
    return Registry(1, (own, *holders), signer(HUB).verify_key)


def contract(members: int, rounds: int, own: str = "nothing") -> RunContract:
    """Return what so many counties agree on."""
    made = sample_contract(
        [county(number) for number in range(members)],
        registry(members).fingerprints(),
        label_holder="",
        run=RUN,
        max_rows=1000,
        points_to_double_odds=160.0,
    )
    made.horizontal.CopyFrom(
        HorizontalTerms(
            columns=[
                JointColumn(name="area"),
                JointColumn(name="debt"),
                JointColumn(name="crop", text=True, levels=LEVELS),
            ],
            optimizer="average",
            rounds=rounds,
            local_epochs=1,
            batch=32,
            local_rate=0.5,
            server_rate=1.0,
            decay=True,
            momentum=0.9,
            second_momentum=0.95,
            adaptivity=1e-4,
            ridge=10.0,
            longest_change=0.4,
            colluding=1,
            own=own,
            pull=100.0,
        )
    )
    return made
