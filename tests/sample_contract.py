"""A contract that a node agrees to; a test changes the clauses that it is about."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from veilscore.v1.training_pb2 import RosterEntry, RunContract

Clause = float | str | bool


def sample_contract(
    parties: Iterable[str],
    fingerprints: Mapping[str, bytes] = MappingProxyType({}),
    **clauses: Clause,
) -> RunContract:
    """Return a contract with the bank as label holder.

    ``fingerprints`` are of the parties' keys, for tests that check who signed.
    """
    contract = RunContract(
        run="r1",
        roster=[
            RosterEntry(party=name, fingerprint=fingerprints.get(name, b""))
            for name in parties
        ],
        label_holder="bank",
        key_bits=2048,
        cover_ratio=-1.0,
        min_count=5,
        ridge=10.0,
        max_columns=64,
        max_bins=1000,
        max_rows=100_000,
        base_points=600,
        base_odds=20.0,
        points_to_double_odds=40.0,
        granularity=1,
    )
    for name, value in clauses.items():
        setattr(contract, name, value)
    return contract
