"""Members' messages that the aggregator passed on, and what it cannot do to them.

Each is verified under its sender's pinned key, so that the aggregator can leave some
out, but not make, change or exchange them, nor take those of another attempt: whatever
it signed in such a list convicts it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from veilscore.keys.aggregation.attempt_keys import COMMITMENT, KEY, PART, TAG
from veilscore.keys.aggregation.sharing import SECRET
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Kind, Statement, read, read_earlier_sum
from veilscore.keys.errors import (
    Breach,
    InvalidKeyError,
    MisconductError,
    UnheardError,
)
from veilscore.keys.masks import pair_secret
from veilscore.v1.aggregation_pb2 import SharePair

SEALED: Final = (
    SharePair(
        mask_key=bytes(SECRET), self_mask=bytes(SECRET), group_part=bytes(PART)
    ).ByteSize()
    + TAG
)
# With it a point of low order gives nothing, as with every other key (RFC 7748,
# section 6.1): keys are tried with it as soon as they come.
_ANY_KEY: Final = X25519PrivateKey.from_private_bytes(bytes(KEY))
# What a signature that fails, or one for another attempt, means in a list of keys.
_OF_KEYS: Final = {
    Breach.BAD_SIGNATURE: Breach.KEY_SWAP,
    Breach.REPLAY: Breach.KEY_REPLAY,
}


def read_list(
    found: Statement, kind: Kind, allowed: tuple[str, ...], terms: Terms
) -> dict[str, Statement]:
    """Return the messages of one kind in the aggregator's list, by sender.

    Raises MisconductError, naming the aggregator, unless they are of different members
    among ``allowed``, in their order.
    """
    entries: Sequence[bytes] = getattr(found.content, found.kind).entries
    messages: dict[str, Statement] = {}
    for entry in entries:
        message = _entry(entry, kind, found, terms)
        if message.sender in messages:
            breach = Breach.DUPLICATE_KEY if kind is Kind.KEYS else Breach.BAD_LIST
            raise _forbidden(breach, "lists a member twice", message, found, terms)
        messages[message.sender] = message
    if tuple(messages) != tuple(name for name in allowed if name in messages):
        raise MisconductError(
            Breach.BAD_LIST,
            "lists members that take no part, or not in the order of the roster",
            party=terms.aggregator.name,
            place=terms.place,
            evidence=(found.signed,),
        )
    return messages


def check_enough(
    present: tuple[str, ...], found: Statement, terms: Terms, breach: Breach
) -> None:
    """Raise MisconductError if the attempt cannot go on with so few members."""
    if len(present) < terms.fewest:
        missing = [name for name in terms.names if name not in present]
        raise MisconductError(
            breach,
            f"goes on with {len(present)} members where {terms.fewest} are needed",
            party=terms.aggregator.name,
            place=f"{terms.place}, without {', '.join(missing)}",
            evidence=(found.signed,),
        )


def check_distinct(keys: Mapping[str, Statement], terms: Terms) -> None:
    """Raise MisconductError if two keys of an attempt are the same."""
    seen: dict[bytes, Statement] = {}
    for message in keys.values():
        said = message.content.keys
        for key in (said.channel, said.mask):
            if key in seen:
                raise MisconductError(
                    Breach.DUPLICATE_KEY,
                    "one key stands for two",
                    party=", ".join(sorted({seen[key].sender, message.sender})),
                    place=terms.place,
                    remedy="Every member makes keys of its own for every attempt.",
                    evidence=(seen[key].signed, message.signed),
                )
            seen[key] = message


def check_keys(message: Statement, terms: Terms) -> None:
    """Raise MisconductError unless a member's keys are usable."""
    said = message.content.keys
    unusable = MisconductError(
        Breach.UNUSABLE_KEY,
        "signed a key or commitment that nobody can use",
        party=message.sender,
        place=terms.place,
        evidence=(message.signed,),
    )
    if len(said.self_mask) != COMMITMENT or len(said.group_part) != COMMITMENT:
        raise unusable
    try:
        for key in (said.channel, said.mask):
            pair_secret(_ANY_KEY, key, terms.context)
    except InvalidKeyError as error:
        raise unusable from error


def earlier_sum(message: Statement, terms: Terms) -> Statement | None:
    """Return the last sum that a member says it was shown, or nothing.

    Raises MisconductError naming the member if the aggregator has not signed it as one.
    """
    shown = message.content.keys.last_sum
    if not shown:
        return None
    try:
        return read_earlier_sum(shown, terms)
    except UnheardError as error:
        raise MisconductError(
            Breach.BAD_LIST,
            "names as the last sum what the aggregator has not signed as one",
            party=message.sender,
            place=terms.place,
            evidence=(message.signed,),
        ) from error


def check_dealt(
    message: Statement, keys: Statement, holders: tuple[str, ...], terms: Terms
) -> None:
    """Raise MisconductError unless a member dealt to all that are in the key list."""
    dealt = message.content.shares
    if dealt.key_list != keys.digest:
        raise MisconductError(
            Breach.KEY_SWAP,
            f"showed {message.sender} another list of keys, as that says",
            party=terms.aggregator.name,
            place=terms.place,
            remedy="Compare the lists that both were shown: two that the aggregator "
            "signed convict it.",
            evidence=(keys.signed, message.signed),
        )
    right = len(dealt.sealed) == len(holders) and all(
        len(each.sealed) == (0 if holder == message.sender else SEALED)
        and len(each.mask_key) == len(each.self_mask) == COMMITMENT
        for holder, each in zip(holders, dealt.sealed, strict=True)
    )
    if not right:
        raise MisconductError(
            Breach.BAD_SHARE,
            "dealt no shares to somebody, or what are no shares",
            party=message.sender,
            place=terms.place,
            evidence=(message.signed,),
        )


def check_same_survivors(agreed: Statement, shown: Statement, terms: Terms) -> None:
    """Raise MisconductError unless a member was shown the survivor set ``shown``.

    It signed the aggregator's own words, so two sets convict the aggregator.
    """
    try:
        theirs = read(agreed.content.agreement.survivors, terms)
    except UnheardError:
        theirs = agreed
    if (theirs.sender, theirs.kind) != (shown.sender, shown.kind):
        raise MisconductError(
            Breach.BAD_LIST,
            "agreed to a survivor set that the aggregator has not signed",
            party=agreed.sender,
            place=terms.place,
            evidence=(agreed.signed,),
        )
    if theirs.digest != shown.digest:
        raise MisconductError(
            Breach.SURVIVOR_SPLIT,
            f"showed {agreed.sender} another survivor set",
            party=terms.aggregator.name,
            place=terms.place,
            evidence=(shown.signed, theirs.signed),
        )


def _entry(entry: bytes, kind: Kind, found: Statement, terms: Terms) -> Statement:
    try:
        message = read(entry, terms)
    except UnheardError as error:
        of_keys = _OF_KEYS if kind is Kind.KEYS else {}
        breach = of_keys.get(error.breach, error.breach)
        raise MisconductError(
            Breach.BAD_LIST if breach is Breach.MALFORMED else breach,
            f"passed on, as {error.party or 'a member'}'s, what is not: {error.what}",
            party=terms.aggregator.name,
            place=terms.place,
            remedy="Use nothing of this attempt; ask the member what it signed.",
            evidence=(found.signed,),
        ) from error
    if message.kind is not kind:
        raise _forbidden(
            Breach.BAD_LIST, "passed on another message", message, found, terms
        )
    return message


def _forbidden(
    breach: Breach, what: str, message: Statement, found: Statement, terms: Terms
) -> MisconductError:
    return MisconductError(
        breach,
        what,
        party=terms.aggregator.name,
        place=f"{terms.place}, {message.sender}",
        evidence=(found.signed, message.signed),
    )
