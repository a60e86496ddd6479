"""What the roles of a run tell each other, played into a run on plain integers.

A lie is told in the place of one message (``rehearsal``); what ciphertexts must be is a
target of ``key_targets``.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.rehearsal import (
    PARTIES,
    make_card,
    make_roles,
    rehearsed_contract,
    script,
    trained_steps,
)
from tests.fuzz.stock import Stock
from tests.fuzz.target import Target, by_grpc
from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import PlainRing
from tests.sample_contract import sample_contract
from veilscore.node.errors import RefusedError
from veilscore.node.training import policy
from veilscore.node.training.policy import TrainingSettings
from veilscore.v1.training_pb2 import (
    Block,
    RunContract,
    TrainingMessage,
)

PERMISSIVE: Final = TrainingSettings(
    approve="automatic",
    allow_polish=True,
    min_polish_noise=0.0,
    allow_exact=True,
    allow_two_party=True,
    min_count=0,
    min_rows=1,
    min_cover=0.0,
)


def contract(_: Stock) -> Target:
    """Hold a whole run under any contract that a node's policy lets pass."""

    def decode(data: bytes) -> None:
        asked = by_grpc(RunContract, data)
        policy.check(asked, "bank", PERMISSIVE)
        names = [entry.party for entry in asked.roster]
        if names != list(PARTIES) or asked.label_holder != "bank":
            raise RefusedError("the registry knows others")
        roles = make_roles(asked)
        for step in trained_steps(asked):
            conduct({name: script(role, step) for name, role in roles.items()})
        for role in roles.values():
            make_card(role)

    samples = [rehearsed_contract(), rehearsed_contract(polish=1, exact=True)]
    odd = [
        sample_contract(PARTIES, {}, min_count=3, max_columns=4, **clause)
        for clause in (
            {"count_epsilon": 1e-300},
            {"ridge": math.inf},
            {"ridge": 1e308},
            {"points_to_double_odds": 1e-300},
            {"polish_steps": 1, "polish_noise": math.inf},
            {"base_odds": math.inf},
        )
    ]
    return Target(
        decode,
        [each.SerializeToString() for each in samples],
        [each.SerializeToString() for each in odd],
        share=0.05,
    )


def _huge_counts(message: TrainingMessage) -> None:
    for column in message.counts.columns:
        column.good[:] = [2**62, 2**62, *[0] * (len(column.good) - 2)]
        column.pool[:] = [0] * len(column.pool)


def _huge_gradient(message: TrainingMessage) -> None:
    size = PlainRing().ciphertext_bytes
    columns = len(message.gradient.ciphertexts) // size
    message.gradient.ciphertexts = (b"\0" + b"\xff" * (size - 1)) * columns


# Lies that were believed once, and raised something else than a Fault later.
_LIES: Final[Mapping[str, Callable[[TrainingMessage], None]]] = {
    "block": lambda message: message.CopyFrom(
        TrainingMessage(block=Block(weights=[1e308, -1e308]))
    ),
    "counts": _huge_counts,
    "gradient": _huge_gradient,
}


def _told(
    mode: str, step: str, kind: str, number: int = 0
) -> Callable[[Stock], Target]:
    """Tell one party of a rehearsed run a lie, in the place of one message."""

    def make(stock: Stock) -> Target:
        rehearsal = stock.rehearsal(mode)
        cue = rehearsal.cue(step, kind, number)

        def decode(data: bytes) -> None:
            message = by_grpc(TrainingMessage, data)
            if message.WhichOneof("body") != cue.kind:
                raise RefusedError("nobody waits for this kind")
            rehearsal.play(cue, message)

        lies: list[bytes] = []
        if kind in _LIES:
            lie = TrainingMessage.FromString(cue.message)
            _LIES[kind](lie)
            lies.append(lie.SerializeToString())
        return Target(decode, [cue.message], lies, share=0.1)

    return make


_CUES: Final = (
    ("default", "counts", "encrypted_rows"),
    ("default", "counts", "rows_taken"),
    ("default", "counts", "count_answer"),
    ("default", "counts", "counts"),
    ("default", "moments", "moments"),
    ("default", "cross", "cross_order"),
    ("default", "cross", "encrypted_rows"),
    ("default", "cross", "rows_taken"),
    ("default", "cross", "cross_answer"),
    ("default", "cross", "cross_shares"),
    ("default", "solve", "block"),
    ("default", "calibrate", "score_share"),
    ("default", "calibrate", "slope"),
    ("default", "evaluate", "score_share"),
    ("polish", "polish-1", "predictor"),
    ("polish", "polish-1", "encrypted_rows"),
    ("polish", "polish-1", "rows_taken"),
    ("polish", "polish-1", "gradient"),
    ("polish", "polish-1", "block"),
    ("exact", "polish-1", "predictor"),
    ("exact", "polish-1", "gradient"),
    ("exact", "polish-2", "predictor"),
)

TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "contract of a run": contract,
    **{f"{mode} {step}: {kind}": _told(mode, step, kind) for mode, step, kind in _CUES},
    # By then there are sums of the parts before to add to, and columns to keep to.
    **{
        f"{mode} {step}: {kind}, last part": _told(mode, step, kind, -1)
        for mode, step, kind in _CUES
        if kind in {"encrypted_rows", "rows_taken"}
    },
}
