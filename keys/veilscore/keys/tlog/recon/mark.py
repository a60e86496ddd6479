"""How far a party has reconciled: what the next reconciliation goes on from.

It is the party's own note to itself, in its own file; what it says is public.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from veilscore.keys.documents import Fields
from veilscore.keys.errors import KeysError, LogStoreError

_FORMAT = 1
_PLACE = "mark of the last reconciliation"


@dataclass(frozen=True, slots=True)
class Mark:
    """How much of the log of all, and of the own, has been compared."""

    size: int = 0  # entries of the log
    checkpoint: str = ""  # the signed note that said so
    seq: int = 0  # of the last own event
    unsettled: tuple[int, ...] = ()  # own events up to it without a compared receipt
    logged: int = 0  # of the last own event in the log
    requests: tuple[Mapping[str, object], ...] = ()  # as ``Requests`` writes them

    @property
    def text(self) -> str:
        """What ``read`` reads."""
        body = {
            "format": _FORMAT,
            "size": self.size,
            "checkpoint": self.checkpoint,
            "seq": self.seq,
            "unsettled": self.unsettled,
            "logged": self.logged,
            "requests": self.requests,
        }
        return json.dumps(body, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> "Mark":
        """Read what ``text`` writes.

        Raises:
            LogStoreError: anything else.

        """
        try:
            fields = Fields(json.loads(text), _PLACE)
            if fields.number("format") != _FORMAT:
                raise LogStoreError(f"only format {_FORMAT} can be read")
            mark = cls(
                size=fields.number("size"),
                checkpoint=fields.text("checkpoint"),
                seq=fields.number("seq"),
                unsettled=tuple(fields.numbers("unsettled")),
                logged=fields.number("logged"),
                requests=tuple(
                    cast("list[Mapping[str, object]]", fields.values("requests"))
                ),
            )
            fields.end()
        except (ValueError, RecursionError, KeysError) as error:
            what = error.what if isinstance(error, KeysError) else "it is not JSON"
            raise LogStoreError(
                f"the file is damaged: {what}",
                place=_PLACE,
                remedy="Check the disk and restore the newest backup.",
            ) from error
        return mark
