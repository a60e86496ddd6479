"""A member: what a node does and refuses so that nobody learns its vector.

One method a message, in the order of CCS 2017, figure 4; all that affects the order is
here. The aggregator is believed nothing: what it signed against the rules ends the
attempt here and is the evidence. What does not verify changes nothing, nor does a
message that comes twice or too early.

A member learns the sum and whose vectors are in it. The aggregator alone learns neither
vector nor sum; with one member it learns the sum, with ``Terms.threshold`` members, or
with all survivors but one, a vector.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import masks
from veilscore.keys.aggregation.attempt_keys import (
    MASK_LABEL,
    AttemptKeys,
    commit_to_part,
    commit_to_seed,
    group_secret,
    self_mask_secret,
)
from veilscore.keys.aggregation.dealing import (
    Held,
    deal,
    receive,
    split_seeds,
)
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.relayed import (
    check_dealt,
    check_distinct,
    check_enough,
    check_keys,
    check_same_survivors,
    earlier_sum,
    read_list,
)
from veilscore.keys.aggregation.terms import Terms
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

# What it means that the aggregator signed a second message of a kind.
_TWICE: Final = {
    Kind.SURVIVORS: Breach.SURVIVOR_SPLIT,
    Kind.AGREEMENT_LIST: Breach.BOTH_SHARES,
    Kind.TOTAL: Breach.SUM_SPLIT,
}


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sum mod 2^64, of whose vectors, and a digest that all members must share."""

    total: NDArray[np.uint64]
    survivors: tuple[str, ...]
    digest: bytes


class Member:
    """One member in one attempt; another attempt needs another one.

    Raises MisconductError if ``history`` forbids the attempt.
    """

    def __init__(
        self, terms: Terms, name: str, signer: Signer, history: RoundHistory
    ) -> None:
        if name not in terms.names or terms.key(name) != signer.verify_key:
            raise ValueError("the roster does not name this member under its key")
        history.begin(terms)
        self._terms, self._name, self._signer = terms, name, signer
        self._history = history
        self._keys = AttemptKeys.generate(terms.context, name)
        self._next: Kind | None = None  # None: nothing is awaited, or nothing any more
        self._advertised = b""
        self._heard: dict[Kind, Statement] = {}
        self._peers: dict[str, Statement] = {}  # U1 of the paper: keys by member
        self._pairs: dict[str, bytes] = {}  # secrets with each other member
        self._own: Held | None = None
        self._held: dict[str, Held] = {}  # U2: shares by dealer
        self._group = b""
        self._survivors: tuple[str, ...] = ()  # U3

    def advertise(self) -> bytes:
        """Round 0: return the keys of this attempt; once."""
        if self._next is not None or self._heard:
            raise ValueError("an attempt begins once")
        self._next = Kind.KEY_LIST
        keys, owner = self._keys, (self._terms.context, self._name)
        self._advertised = self._write(
            Kind.KEYS,
            pb.RoundKeys(
                channel=keys.channel_public,
                mask=keys.mask_public,
                self_mask=commit_to_seed(keys.self_seed, *owner),
                group_part=commit_to_part(keys.group_part, *owner),
                last_sum=self._history.last_sum,
            ),
        )
        return self._advertised

    def share_keys(self, key_list: bytes) -> bytes:
        """Round 1: check everybody's keys, deal shares of both seeds to all."""
        found, terms = self._take(key_list, Kind.KEY_LIST), self._terms
        peers = read_list(found, Kind.KEYS, terms.names, terms)
        self._check_names(tuple(peers), found, Breach.MISSING_KEY)
        if peers[self._name].signed != self._advertised:
            raise self._misconduct(
                Breach.KEY_SWAP,
                "lists keys of this member that it did not send in this attempt",
                (found, peers[self._name]),
            )
        check_distinct(peers, terms)
        for name, peer in peers.items():
            check_keys(peer, terms)
            shown = earlier_sum(peer, terms)
            if shown is not None:
                self._history.compare(shown, name, terms)
        self._peers = peers
        shares = split_seeds(self._keys, terms)
        self._own = shares[self._name]
        self._pairs = {
            name: self._keys.pair_secret(peer.content.keys.mask)
            for name, peer in peers.items()
            if name != self._name
        }
        sealed = [
            deal(self._keys, peer, shares[name], terms) for name, peer in peers.items()
        ]
        self._next = Kind.SHARE_LIST
        return self._write(
            Kind.SHARES, pb.DealtShares(key_list=found.digest, sealed=sealed)
        )

    def mask_input(self, share_list: bytes, vector: NDArray[np.uint64]) -> bytes:
        """Round 2: check what all others dealt, return the vector under all masks.

        ``vector`` has ``Terms.length`` integers mod 2^64.
        """
        terms, keys = self._terms, self._keys
        if vector.dtype != np.uint64 or vector.shape != (terms.length,):
            raise ValueError(f"a vector of {terms.length} words (uint64) is needed")
        found = self._take(share_list, Kind.SHARE_LIST)
        dealers = read_list(found, Kind.SHARES, tuple(self._peers), terms)
        self._check_names(tuple(dealers), found, Breach.BAD_LIST)
        parts = [self._receive(dealer) for dealer in dealers.values()]
        self._group = group_secret(terms.context, found.digest, parts)
        # y = x + PRG(own seed) + the masks of each two, which cancel, and one more.
        own = self_mask_secret(keys.self_seed, terms.context, self._name)
        pairs = {name: self._pairs[name] for name in dealers if name != self._name}
        masked = vector + masks.words(own, MASK_LABEL, terms.length)
        masked += masks.zero_sum_words(self._name, pairs, MASK_LABEL, terms.length)
        masked += self._group_mask(self._name)
        words = write_words(masked)
        self._next = Kind.SURVIVORS
        return self._write(Kind.MASKED, pb.MaskedInput(words=digest(words)), words)

    def agree(self, survivors: bytes) -> bytes:
        """Round 3: sign which survivors this member was shown: one set, ever."""
        found = self._take(survivors, Kind.SURVIVORS)
        said, names = found.content.survivors, tuple(found.content.survivors.members)
        lists = (self._heard[Kind.KEY_LIST], self._heard[Kind.SHARE_LIST])
        if (said.key_list, said.share_list) != (lists[0].digest, lists[1].digest):
            raise self._misconduct(
                Breach.SURVIVOR_SPLIT,
                "shows others other keys or shares than it showed here",
                (found, *lists),
            )
        if names != tuple(name for name in self._held if name in names):
            raise self._misconduct(
                Breach.BAD_LIST,
                "names survivors that dealt no shares, or not in the roster's order",
                (found,),
            )
        self._check_names(names, found, Breach.SURVIVOR_SPLIT)
        self._survivors = names
        self._next = Kind.AGREEMENT_LIST
        return self._write(Kind.AGREEMENT, pb.Agreement(survivors=found.signed))

    def reveal_shares(self, agreement_list: bytes) -> bytes:
        """Round 4: return one share of every dealer, if enough agreed on the survivors.

        Of a survivor the share of its own mask's seed, of any other that of its mask
        key. Nothing leaves for another survivor set afterwards.
        """
        found, terms = self._take(agreement_list, Kind.AGREEMENT_LIST), self._terms
        agreed = read_list(found, Kind.AGREEMENT, tuple(self._held), terms)
        for other in agreed.values():
            check_same_survivors(other, self._heard[Kind.SURVIVORS], terms)
        enough = tuple(name for name in self._survivors if name in agreed)
        check_enough(enough, found, terms, Breach.SURVIVOR_SPLIT)
        self._history.release(terms, frozenset(self._survivors))
        revealed = [
            held.self_mask if dealer in self._survivors else held.mask_key
            for dealer, held in self._held.items()
        ]
        self._forget_secrets()  # what is gone cannot be asked for
        self._next = Kind.TOTAL
        return self._write(Kind.REVEALED, pb.RevealedShares(shares=revealed))

    def finish(self, total: bytes) -> Aggregate:
        """Take the group's masks off the sum, which all members must get alike."""
        found = self._take(total, Kind.TOTAL)
        shown = self._heard[Kind.SURVIVORS]
        if found.content.total.survivors != shown.digest:
            raise self._misconduct(
                Breach.SURVIVOR_SPLIT,
                "sends the sum of other survivors than were agreed on",
                (shown, found),
            )
        vector = read_words(found.words).copy()
        for name in self._survivors:
            vector -= self._group_mask(name)
        self._history.finish(self._heard[Kind.TOTAL])
        self._group = b""
        return Aggregate(vector, self._survivors, found.digest)

    def forget(self) -> None:
        """Drop all secrets: an attempt that ended early needs none."""
        self._next, self._group = None, b""
        self._forget_secrets()

    def _forget_secrets(self) -> None:
        self._keys = AttemptKeys.generate(self._terms.context, self._name)
        self._own, self._pairs, self._held = None, {}, {}

    def _group_mask(self, name: str) -> NDArray[np.uint64]:
        return masks.words(self._group, f"group {name}", self._terms.length)

    def _receive(self, dealer: Statement) -> bytes:
        """Keep what a dealer dealt here; return its part of the group's secret."""
        terms, holders = self._terms, tuple(self._peers)
        check_dealt(dealer, self._heard[Kind.KEY_LIST], holders, terms)
        if dealer.sender == self._name and self._own is not None:
            self._held[self._name] = self._own
            return self._keys.group_part
        dealt = dealer.content.shares.sealed[holders.index(self._name)]
        peer = self._peers[dealer.sender]
        held, part = receive(self._keys, dealer, dealt, peer, terms)
        self._held[dealer.sender] = held
        return part

    # -- messages --------------------------------------------------------------

    def _write(self, kind: Kind, content: Content, words: bytes = b"") -> bytes:
        return write(self._terms, self._name, self._signer, kind, content, words)

    def _take(self, data: bytes, kind: Kind) -> Statement:
        """Return the aggregator's next message; any error after it ends the attempt.

        Raises UnheardError where nothing changes, MisconductError where it signed two.
        """
        found = read(data, self._terms)
        before = self._heard.get(kind)
        if found.sender != self._terms.aggregator.name or found.kind is not kind:
            before = None
        elif before is None and kind is self._next:
            self._heard[kind] = replace(found, words=b"")
            self._next = None
            return found
        elif before is not None and before.digest != found.digest:
            self.forget()
            raise self._misconduct(
                _TWICE.get(kind, Breach.TWO_ANSWERS),
                "signed two different messages where there may be one",
                (before, found),
            )
        raise UnheardError(
            Breach.REPEATED if before else Breach.OUT_OF_STEP,
            "this message came before" if before else "this message is not the next",
            party=found.sender,
            place=f"{self._terms.place}, {found.kind}",
        )

    def _check_names(
        self, names: tuple[str, ...], found: Statement, breach: Breach
    ) -> None:
        check_enough(names, found, self._terms, breach)
        if self._name not in names:
            raise DropoutError(
                Breach.DROPOUT,
                "the attempt goes on without this member",
                party=self._name,
                place=f"{self._terms.place}, {found.kind}",
                remedy="Wait for the next round; see why its message came too late.",
                evidence=(found.signed,),
            )

    def _misconduct(
        self, breach: Breach, what: str, evidence: tuple[Statement, ...]
    ) -> MisconductError:
        return MisconductError(
            breach,
            what,
            party=self._terms.aggregator.name,
            place=self._terms.place,
            evidence=tuple(each.signed for each in evidence),
        )
