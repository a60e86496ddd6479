"""What a finished run made, as every party that is still in it registers it."""

import hashlib
from collections.abc import Mapping
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import RunContract, StepReport

_DIGEST_BYTES: Final = 32


def read_card(party: str, report: StepReport) -> CardEntry:
    """Return what a party says of its card; raises RunError if it has none."""
    if len(report.card) != _DIGEST_BYTES:
        raise RunError("has made no card", party=party, place="step evaluate")
    return CardEntry(
        party=party, card=report.card, max_abs_points=report.max_abs_points
    )


def write_manifest(contract: RunContract, cards: Mapping[str, CardEntry]) -> bytes:
    """Return the manifest of a run whose parties made these cards."""
    body = contract.SerializeToString(deterministic=True)
    return ModelManifest(
        run=contract.run,
        contract=hashlib.sha256(body).digest(),
        cards=[card for _, card in sorted(cards.items())],
        base_points=contract.base_points,
        base_odds=contract.base_odds,
        points_to_double_odds=contract.points_to_double_odds,
        granularity=contract.granularity,
        whole=contract.HasField("horizontal"),
    ).SerializeToString(deterministic=True)
