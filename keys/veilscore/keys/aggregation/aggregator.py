"""The aggregator: what the coordinator does to add up vectors that it cannot read.

One step for each of CCS 2017, figure 4: ``take`` what members send, in any order, then
close the step and send all members the same bytes. It learns who takes part, who drops
out and when, and sums that are noise without the group's secret. It keeps one running
sum, never a member's vector.

An honest aggregator goes on without members that are missing only if ``Terms`` allow
it; else the attempt is over and another one, with fresh keys, takes its place.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from veilscore.keys.aggregation.relayed import (
    check_dealt,
    check_distinct,
    check_keys,
    check_same_survivors,
    earlier_sum,
)
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.unmasking import Dealer, unmask
from veilscore.keys.aggregation.wire import (
    Content,
    Kind,
    Statement,
    digest,
    read,
    read_words,
    write,
    write_words,
)
from veilscore.keys.errors import Breach, DropoutError, MisconductError, UnheardError
from veilscore.keys.identity import Signer
from veilscore.v1 import aggregation_pb2 as pb

_STEPS: Final = (
    Kind.KEYS,
    Kind.SHARES,
    Kind.MASKED,
    Kind.AGREEMENT,
    Kind.REVEALED,
)


class Aggregator:
    """The aggregator of one attempt."""

    def __init__(self, terms: Terms, signer: Signer) -> None:
        if signer.verify_key != terms.aggregator.key:
            raise ValueError("the terms name another aggregator's key")
        self._terms, self._signer = terms, signer
        self._step: Kind | None = Kind.KEYS  # None: over
        self._present = terms.names  # of whom this step awaits a message
        self._got: dict[Kind, dict[str, Statement]] = {step: {} for step in _STEPS}
        self._said: dict[Kind, Statement] = {}
        self._dealers: dict[str, Dealer] = {}
        self._total = np.zeros(terms.length, dtype=np.uint64)

    @property
    def missing(self) -> tuple[str, ...]:
        """Members whose message of this step has not come."""
        got = self._got[self._step] if self._step else self._present
        return tuple(name for name in self._present if name not in got)

    @property
    def spent(self) -> bool:
        """Whether shares may have left for a sum of this round.

        Then the round is not attempted again: members give no shares for other
        survivors, nor to a round whose sum they know. Go on with the next round.
        """
        return Kind.AGREEMENT_LIST in self._said

    def take(self, data: bytes) -> str:
        """Take a member's message, in any order; return who sent it.

        A message that comes twice changes nothing. Raises UnheardError where bytes are
        no message of this step, MisconductError where a member signed what it must not;
        in both cases the others go on.
        """
        found = read(data, self._terms)
        before = self._got.get(found.kind, {}).get(found.sender)
        if before is not None:
            if before.digest == found.digest:
                return found.sender
            raise self._misconduct(
                Breach.TWO_ANSWERS, "signed two different answers", before, found
            )
        if found.kind is not self._step or found.sender not in self._present:
            raise UnheardError(
                Breach.OUT_OF_STEP,
                "sent a message for another step, or after it was left out",
                party=found.sender,
                place=f"{self._terms.place}, {found.kind}",
            )
        self._check(found)
        self._got[found.kind][found.sender] = replace(found, words=b"")
        return found.sender

    def key_list(self) -> bytes:
        """End round 0: return everybody's keys, for all members that sent some."""
        return self._close(Kind.KEYS, Kind.KEY_LIST, Kind.SHARES)

    def share_list(self) -> bytes:
        """End round 1: return all sealed shares, for all members that sent some."""
        return self._close(Kind.SHARES, Kind.SHARE_LIST, Kind.MASKED)

    def survivor_set(self) -> bytes:
        """End round 2: return whose vectors came, for all of these."""
        survivors = self._end(Kind.MASKED, Kind.AGREEMENT)
        keys, dealt = self._got[Kind.KEYS], self._got[Kind.SHARES]
        self._dealers = {
            name: Dealer(keys[name], shares, name in survivors)
            for name, shares in self._ordered(dealt).items()
        }
        return self._say(
            Kind.SURVIVORS,
            pb.SurvivorSet(
                key_list=self._said[Kind.KEY_LIST].digest,
                share_list=self._said[Kind.SHARE_LIST].digest,
                members=survivors,
            ),
        )

    def agreement_list(self) -> bytes:
        """End round 3: return what the survivors agreed to, for all that did."""
        return self._close(Kind.AGREEMENT, Kind.AGREEMENT_LIST, Kind.REVEALED)

    def total(self) -> bytes:
        """End round 4: return the sum under the group's masks, for all survivors.

        Raises MisconductError if a dealer's shares do not fit together.
        """
        self._end(Kind.REVEALED, None)
        unmask(self._total, self._dealers, self._terms)
        words = write_words(self._total)
        shown = self._said[Kind.SURVIVORS].digest
        total = pb.MaskedSum(survivors=shown, words=digest(words))
        return self._write(Kind.TOTAL, total, words)

    # -- steps -----------------------------------------------------------------

    def _check(self, found: Statement) -> None:
        """Refuse what would stop the others later, while its sender can be named."""
        terms, content = self._terms, found.content
        match found.kind:
            case Kind.KEYS:
                check_keys(found, terms)
                earlier_sum(found, terms)
                keys = {**self._got[Kind.KEYS], found.sender: found}
                check_distinct(keys, terms)
            case Kind.SHARES:
                shown = self._said[Kind.KEY_LIST]
                if content.shares.key_list != shown.digest:
                    raise self._misconduct(
                        Breach.BAD_SHARE, "dealt to another list of keys", shown, found
                    )
                check_dealt(found, shown, self._holders, terms)
            case Kind.MASKED:
                self._total += read_words(found.words)
            case Kind.AGREEMENT:
                check_same_survivors(found, self._said[Kind.SURVIVORS], terms)
            case _:
                self._take_revealed(found)

    def _take_revealed(self, found: Statement) -> None:
        shares = found.content.revealed.shares
        if len(shares) != len(self._dealers):
            raise self._misconduct(
                Breach.BAD_SHARE, "revealed no share, or too many, of somebody", found
            )
        place = self._holders.index(found.sender)
        revealed = list(zip(self._dealers.values(), shares, strict=True))
        for dealer, share in revealed:
            dealer.check(share, found, place, self._terms)
        for dealer, share in revealed:
            dealer.revealed[found.sender] = share

    @property
    def _holders(self) -> tuple[str, ...]:
        return tuple(self._ordered(self._got[Kind.KEYS]))

    def _ordered(self, got: dict[str, Statement]) -> dict[str, Statement]:
        return {name: got[name] for name in self._terms.names if name in got}

    def _end(self, step: Kind, following: Kind | None) -> tuple[str, ...]:
        """End a step; return who did it. Raises DropoutError if these are too few."""
        if self._step is not step:
            raise ValueError(f"the attempt is not at {step}")
        missing, self._step = self.missing, None
        self._present = tuple(self._ordered(self._got[step]))
        if len(self._present) < self._terms.fewest:
            raise DropoutError(
                Breach.DROPOUT,
                f"{len(self._present)} members are left where {self._terms.fewest} "
                "are needed",
                party=", ".join(missing),
                place=f"{self._terms.place}, {step}",
            )
        self._step = following
        return self._present

    def _close(self, step: Kind, kind: Kind, following: Kind) -> bytes:
        self._end(step, following)
        entries = [each.signed for each in self._ordered(self._got[step]).values()]
        return self._say(kind, pb.SignedList(entries=entries))

    def _say(self, kind: Kind, content: Content) -> bytes:
        """Write what later steps refer to."""
        data = self._write(kind, content)
        self._said[kind] = read(data, self._terms)
        return data

    def _write(self, kind: Kind, content: Content, words: bytes = b"") -> bytes:
        name = self._terms.aggregator.name
        return write(self._terms, name, self._signer, kind, content, words)

    def _misconduct(
        self, breach: Breach, what: str, *evidence: Statement
    ) -> MisconductError:
        return MisconductError(
            breach,
            what,
            party=evidence[-1].sender,
            place=self._terms.place,
            remedy="Start another attempt; if it happens again, ask the party why.",
            evidence=tuple(each.signed for each in evidence),
        )
