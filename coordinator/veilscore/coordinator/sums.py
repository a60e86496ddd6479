"""The edge of ``adding``: what it says goes through the hub, what it finds is kept.

Plays beside every step of a horizontal run that has sums. It seals and opens, counts
time and logs; what is added up, when and of whom, is for the core.
"""

import hashlib
import logging
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from veilscore.coordinator.adding import (
    Adding,
    Caught,
    LeftOut,
    Outcome,
    Over,
    Say,
)
from veilscore.coordinator.errors import ContractError, RunError
from veilscore.coordinator.post import RunPost
from veilscore.coordinator.surroundings import Surroundings
from veilscore.fault import Fault
from veilscore.keys.aggregation.terms import Pinned, Terms
from veilscore.keys.receiving import PeerKeys
from veilscore.keys.registry import Registry
from veilscore.runtime.awake_clock import AwakeClock
from veilscore.v1.audit_pb2 import SumMade
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

_log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0  # between looks at the clock


def run_terms(contract: RunContract, registry: Registry) -> Terms:
    """Return the terms of any attempt at a sum of a run, under the registered keys.

    Raises ContractError if no sum is possible, RegistryError naming an unknown party,
    RunError one that has another key than the contract says.
    """
    body = contract.SerializeToString(deterministic=True)
    for entry in contract.roster:
        if registry.party(entry.party).key.fingerprint != entry.fingerprint:
            raise RunError(
                "is registered under another key than the contract names",
                party=entry.party,
                remedy="Propose the run again.",
            )
    try:
        return Terms(
            run=contract.run,
            round=1,
            attempt=1,
            roster=tuple(
                Pinned(entry.party, registry.party(entry.party).key)
                for entry in contract.roster
            ),
            aggregator=Pinned(registry.coordinator.name, registry.coordinator.key),
            contract=hashlib.sha256(body).digest(),
            length=1,
            colluders=contract.horizontal.colluding,
        )
    except ValueError as error:
        raise ContractError(
            f"its members cannot add up anything: {error}",
            place=f"run {contract.run}",
            remedy="Change the members, or how many of them may collude.",
        ) from error


class Sums:
    """All sums of one run. One thread plays; any may say who left or answered.

    ``leave`` is called, with the reason, for every member that the sums go on without.
    """

    def __init__(
        self,
        terms: Terms,
        post: RunPost,
        peers: Mapping[str, PeerKeys],
        around: Surroundings,
        leave: Callable[[str, Fault], None],
    ) -> None:
        self._adding = Adding(terms, around.signer, around.patience.phase_s)
        self._run = terms.run
        self._post = post
        self._peers = peers
        self._around = around
        self._leave = leave
        self._clock = AwakeClock()
        self._began = 0.0  # the sum under way
        self._told: queue.SimpleQueue[Callable[[float], list[Outcome]]] = (
            queue.SimpleQueue()
        )

    def note_left(self, party: str) -> None:
        """Note that a party has left the run."""
        self._told.put(partial(self._adding.leave, party))
        self._post.poke()

    def note_answer(self, party: str) -> None:
        """Note that a party has done the step."""
        self._told.put(partial(self._adding.answer, party))
        self._post.poke()

    def play(self, step: str) -> None:
        """Add up what members send in a step, until the post ends.

        Raises the Fault that ends the run, or with which the post ended in the midst
        of a sum.
        """
        with ThreadPoolExecutor(len(self._peers), "sums") as threads:
            self._hear(step, threads)
            ends = self._clock() + self._around.patience.step_s
            self._adding.begin_step(ends, whole=step == "bins")
            while True:
                wait_s = min(_LOOK_S, max(0.0, self._adding.due - self._clock()))
                try:
                    came = self._post.next_sum(wait_s)
                except Exception:
                    if self._adding.idle:
                        return
                    raise
                self._hear(step, threads)
                now = self._clock()
                if came is not None:
                    self._do(self._adding.take(*came, now), step, threads)
                self._do(self._adding.wake(now), step, threads)

    def _hear(self, step: str, threads: ThreadPoolExecutor) -> None:
        """Let the core know what other threads noted."""
        while not self._told.empty():
            self._do(self._told.get()(self._clock()), step, threads)

    def _do(
        self, outcomes: list[Outcome], step: str, threads: ThreadPoolExecutor
    ) -> None:
        made: SumMade | None = None
        for each in outcomes:
            match each:
                case Say():
                    if each.message.begins.attempt == 1:
                        self._began = self._clock()
                    self._say(each, step, threads)
                case SumMade():
                    self._around.log(self._run, each)
                    made = each
                case LeftOut(party, fault):
                    self._leave(party, fault)
                case Caught(terms, error):
                    self._around.incidents.caught(terms, error)
                case Over(fault):
                    raise fault
        if made is not None:  # and told to the members
            took_s = self._clock() - self._began
            members, place = len(made.members), f"run {self._run}: {step}"
            _log.info("%s: sum of %d members took %.3f s", place, members, took_s)

    def _say(self, say: Say, step: str, threads: ThreadPoolExecutor) -> None:
        """Send to all at once: one that takes nothing keeps no other waiting."""
        message = TrainingMessage(sum=say.message)
        sending = {
            name: threads.submit(
                self._around.send,
                name,
                self._post.seal(step, self._peers[name], message),
            )
            for name in say.to
        }
        for name, sent in sending.items():
            try:
                sent.result()
            except Fault as fault:
                self._leave(name, fault)
