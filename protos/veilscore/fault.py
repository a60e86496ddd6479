"""The one error type that crosses every border of the product.

A fault says who is concerned, where, and what to do about it, so that the
terminal, the REST API and a peer's refusal can all show the same sentence.
Subclasses, one file ``errors.py`` a package, say what the caller does next.
"""

from collections.abc import Generator
from contextlib import contextmanager


class Fault(Exception):  # noqa: N818 - the name of a thing, not of a class kind
    """Something a person or a peer must do something about.

    ``code`` is stable and safe to show to a peer; the rest may name local files
    and columns and stays at home.
    """

    code = "fault"
    exit_code = 1
    request = ""  # id of the score request that it ended, if the audit log holds one

    def __init__(
        self, what: str, *, party: str = "", place: str = "", remedy: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.party = party
        self.place = place
        self.remedy = remedy

    def fields(self) -> dict[str, str]:
        """Return what JSON says of it, for people of this institution."""
        names = ("code", "what", "party", "place", "remedy")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        """Return the whole sentence, for people of this institution."""
        where = ", ".join(part for part in (self.party, self.place) if part)
        sentence = f"{where}: {self.what}" if where else self.what
        return f"{sentence}. Remedy: {self.remedy}" if self.remedy else sentence


@contextmanager
def concerning(party: str) -> Generator[None]:
    """Let a fault that names no party name this one: whose work is done here."""
    try:
        yield
    except Fault as fault:
        fault.party = fault.party or party
        raise
