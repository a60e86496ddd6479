"""Says what is wrong at the end of a play, in both logs and with every caller."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from tests.protocol.score_cards import HOLDERS, entity, plain_score
from tests.simulation.observer import Log
from tests.simulation.player import BANK, Call, Player
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.sample_log import own_word
from veilscore.keys.tlog.recon.finding import Finding, Kind
from veilscore.keys.tlog.recon.own_events import OwnEvents, reconcile_export
from veilscore.node.errors import (
    CoordinatorRefusedError,
    HolderRefusedError,
    NoAnswerError,
    NoReceivingKeyError,
    StoppingError,
)
from veilscore.runtime.errors import PeerLostError, UnreachableError

# What a caller may be told; anything else is a failure.
TOLD: Final = (
    CoordinatorRefusedError,
    HolderRefusedError,
    NoAnswerError,
    NoReceivingKeyError,
    PeerLostError,
    StoppingError,
    UnreachableError,
)
_PROBED: Final = [entity(3), entity(4)]


def judge(player: Player) -> list[str]:
    """Drain the federation, ask once more, and return everything that is wrong."""
    player.drain()
    probe = player.ask(_PROBED)
    player.deliver_all()
    player.drain()
    wrong = [*player.observer.wrong, *map(repr, player.scheduler.defects)]
    if probe.got is None:
        wrong.append(f"afterwards there is no score: {probe.fault}")
    if player.scheduler.tasks:
        wrong.append("a caller waits for ever")
    player.told = {party: player.observer.own(party) for party in HOLDERS}
    logs = {
        "the log": player.federation.log_events(),
        **{f"{party}'s own": log for party, log in player.told.items()},
    }
    for call in player.calls:
        wrong += _of_call(call, logs)
    wrong += _answered_twice(logs)
    for party in HOLDERS:
        wrong += _reconciled(player, party)
    return wrong


def _of_call(call: Call, logs: Mapping[str, Log]) -> Iterator[str]:
    if call.fault is not None and not isinstance(call.fault, TOLD):
        yield f"a caller is told {call.fault!r}"
    if call.got is None:
        return
    got = [(each.entity, each.score) for each in call.got.scores]
    if got != [(name, plain_score(name)) for name in call.names]:
        yield "a score is wrong"
    if call.unproven:
        yield "scores are told without a receipt for the request"
    for party in HOLDERS:
        for kind in ("score_requested", "score_decided", "score_answered"):
            expected = int((party == BANK) is (kind == "score_requested"))
            counts = _counts(call.got.request, logs, kind)
            for where in ("the log", f"{party}'s own"):
                if counts[where, party] != expected:
                    yield f"{counts[where, party]} {kind} of {party} in {where}"


def _counts(
    correlation: str, logs: Mapping[str, Log], kind: str
) -> Counter[tuple[str, str]]:
    """Count events about a request, by log and actor; decisions that allow only."""
    return Counter(
        (where, each.event.actor)
        for where, log in logs.items()
        for each in log
        if each.event.correlation == correlation
        and each.kind == kind
        and (kind != "score_decided" or each.event.score_decided.allowed)
    )


def _answered_twice(logs: Mapping[str, Log]) -> Iterator[str]:
    for where, log in logs.items():
        answers = Counter(
            (each.event.actor, each.event.correlation)
            for each in log
            if each.kind == "score_answered"
        )
        for (holder, _), count in answers.items():
            if count > 1:
                yield f"{holder} commits to {count} answers to a request in {where}"


def _reconciled(player: Player, party: str) -> Iterator[str]:
    federation = player.federation
    export = MemoryExport(federation.log_files())
    with OwnEvents.open(federation.nodes[party].events) as own:
        report = reconcile_export(own, export, own_word(federation.log_key))
    for finding in report.findings:
        if not _is_lost_request(player, finding):
            yield f"{party}: {finding.kind}: {finding.what}"


def _is_lost_request(player: Player, finding: Finding) -> bool:
    """Say whether this is a request that a holder has never been able to read.

    That it decides on each that reaches it is checked on delivery.
    """
    if finding.kind is not Kind.UNANSWERED:
        return False
    holder = finding.what.partition(" ")[0]
    return finding.correlation not in {
        each.event.correlation
        for each in player.observer.own(holder)
        if each.kind == "score_decided"
    }
