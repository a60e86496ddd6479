"""What the coordinator may decode of a horizontal run: its contract, sums and events.

Of a member's vector it decodes a masked one, which is noise, and its length. What it
sends members itself (``begins``, lists, survivors, the sum) is not on the list where no
member sends it back.
"""

from collections.abc import Mapping

from tests.attacks.field_rules import (
    Allowed,
    between,
    inside,
    is_noise,
    message,
    octets,
    one_of,
    several,
    text,
)
from veilscore.keys.aggregation.attempt_keys import PART, TAG
from veilscore.keys.aggregation.sharing import SECRET
from veilscore.keys.aggregation.terms import LONGEST, MOST
from veilscore.models.horizontal.run import OPTIMIZERS, OWN
from veilscore.models.horizontal.terms import MOST_ROUNDS
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.training_pb2 import HorizontalPrivacy, HorizontalTerms

_YES = Allowed(lambda value: value is True)
_DIGEST = octets(32)
_CLAUSE = between(0, 2e6)  # the coordinator's operator wrote it
_NAME = Allowed(lambda value: len(value) <= 200)
_SUM = between(1, MOST_ROUNDS + 5)  # up to four of bins, one of each round, the digest
_ATTEMPT = between(1, 1000)
_BOX = 2 * SECRET + PART + 3 * 2 + TAG  # bytes: a SharePair, sealed


def sum_fields(
    coordinator: str, parties: tuple[str, ...], runs: tuple[str, ...]
) -> Mapping[str, Allowed]:
    """Return the fields of one federation's horizontal runs."""
    fields = {**_contract(), **_events(parties), **_said(coordinator, parties, runs)}
    return {f"veilscore.v1.{name}": allowed for name, allowed in fields.items()}


def _contract() -> Mapping[str, Allowed]:
    clauses = {
        f"{kind.DESCRIPTOR.name}.{field.name}": _CLAUSE
        for kind in (HorizontalTerms, HorizontalPrivacy)
        for field in kind.DESCRIPTOR.fields
    }
    return clauses | {
        "RunContract.horizontal": message(),
        "HorizontalTerms.columns": message(4096),
        "HorizontalTerms.optimizer": one_of(*OPTIMIZERS),
        "HorizontalTerms.own": one_of(*OWN),
        "HorizontalTerms.privacy": message(),
        "JointColumn.name": _NAME,
        "JointColumn.text": _YES,
        "JointColumn.levels": several(_NAME, 10_000),
        "ModelManifest.whole": _YES,
    }


def _events(parties: tuple[str, ...]) -> Mapping[str, Allowed]:
    return {
        "StepDone.sums": _DIGEST,
        "SumMade.round": _SUM,
        "SumMade.attempt": _ATTEMPT,
        "SumMade.members": several(one_of(*parties), len(parties)),
        "SumMade.total": _DIGEST,
        # Both follow from contracts: of noise and of how often, of no row.
        "PrivacySpent.epsilon": between(0, 1000),
        "PrivacySpent.delta": between(0, 0.01),
    }


def _said(
    coordinator: str, parties: tuple[str, ...], runs: tuple[str, ...]
) -> Mapping[str, Allowed]:
    label = "|".join(rf"{run} (bins \d|round \d+|digest)" for run in runs)
    signed = inside(SignedAggregation)
    return {
        "TrainingMessage.sum": message(),
        "SumMessage.wanted": message(),
        "SumMessage.signed": signed,
        "SumWanted.label": text(label),
        "SumWanted.length": between(1, LONGEST),
        "SignedAggregation.body": inside(AggregationBody),
        "SignedAggregation.signature": octets(64),
        "SignedAggregation.words": Allowed(
            lambda words: len(words) % 8 == 0 and is_noise(words)
        ),
        "AggregationBody.version": one_of(1),
        "AggregationBody.run": one_of(*runs),
        "AggregationBody.round": _SUM,
        "AggregationBody.attempt": _ATTEMPT,
        "AggregationBody.context": _DIGEST,
        "AggregationBody.sender": one_of(coordinator, *parties),
        "AggregationBody.keys": message(),
        "RoundKeys.channel": _DIGEST,
        "RoundKeys.mask": _DIGEST,
        "RoundKeys.self_mask": _DIGEST,
        "RoundKeys.group_part": _DIGEST,
        "RoundKeys.last_sum": signed,
        "AggregationBody.shares": message(),
        "DealtShares.key_list": _DIGEST,
        "DealtShares.sealed": message(MOST),
        "SealedShares.sealed": Allowed(
            lambda box: len(box) in {0, _BOX} and is_noise(box)
        ),
        "SealedShares.mask_key": _DIGEST,
        "SealedShares.self_mask": _DIGEST,
        "AggregationBody.masked": message(),
        "MaskedInput.words": _DIGEST,
        "AggregationBody.agreement": message(),
        "Agreement.survivors": signed,
        "AggregationBody.revealed": message(),
        "RevealedShares.shares": octets(SECRET, MOST),
        # The coordinator's own words, which come back in keys and agreements.
        "AggregationBody.survivors": message(),
        "SurvivorSet.key_list": _DIGEST,
        "SurvivorSet.share_list": _DIGEST,
        "SurvivorSet.members": several(one_of(*parties), len(parties)),
        "AggregationBody.total": message(),
        "MaskedSum.survivors": _DIGEST,
        "MaskedSum.words": _DIGEST,
    }
