"""What a log says about the score requests that concern one party.

A request must be answered by all whom it names, and by nobody else. Decisions may stand
in the log before the request that they belong to: it is logged while holders answer.
Requests are forgotten once nothing about them is open, and those that this party left
undecided one reconciliation later, for its decision may still come. Of a request of
others only a hash of its id is kept, until all was read.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from veilscore.keys.documents import Fields
from veilscore.keys.tlog.events import OpenedEvent
from veilscore.keys.tlog.recon.finding import Finding, Kind

# Whether something of this time (ms since 1970) may still be settled by waiting.
Young = Callable[[int], bool]


@dataclass(slots=True)
class _Said:
    """What one party said about a request; ``seq`` is 0 for another party's event."""

    seq: int
    time_ms: int
    undecided: bool  # it answered before it decided
    silent: bool = False  # it allowed last, and neither answered nor refused since


@dataclass(slots=True)
class _Request:
    """One request; ``asked_ms`` is 0 while only decisions about it are known."""

    fresh: bool = False  # first heard of, or gone on, this time
    asked_ms: int = 0
    asked_seq: int = 0
    concerns: bool = False  # asked by or of this party
    closed: bool = False  # remembered only because this party may still decide
    told: set[str] = field(default_factory=set[str])  # differences, by their text
    holders: set[str] = field(default_factory=set[str])
    said: dict[str, _Said] = field(default_factory=dict[str, _Said])

    def differences(self, correlation: str) -> Iterator[tuple[int, Finding]]:
        """Yield what does not fit, and since when (ms since 1970).

        Of a request that does not concern this party ``said`` holds only its own word.
        """
        for holder in sorted(self.holders - self.said.keys()):
            what = f"{holder} did not decide"
            yield (
                self.asked_ms,
                Finding(Kind.UNANSWERED, self.asked_seq, what, correlation),
            )
        for actor, said in self.said.items():
            odd: list[tuple[Kind, str]] = []
            if actor not in self.holders:
                odd.append((Kind.UNASKED, f"{actor} was not asked"))
            if said.silent:
                odd.append((Kind.UNFINISHED, f"{actor} allowed and is silent"))
            if said.undecided:
                odd.append((Kind.UNASKED, f"{actor} answered undecided"))
            for kind, what in odd:
                yield said.time_ms, Finding(kind, said.seq, what, correlation)


class Requests:
    """The requests of one reconciliation, on from those that an earlier one left."""

    def __init__(self, party: str) -> None:
        self._party = party
        self._known: dict[str, _Request] = {}
        self._left: frozenset[str] = frozenset()  # by an earlier reconciliation
        self._foreign: set[bytes] = set()  # hashes of ids: asked by and of others

    def add(self, opened: OpenedEvent) -> None:
        """Take the next event of the log."""
        if opened.kind == "score_requested":
            self._asked(opened)
        elif opened.kind in {"score_decided", "score_answered"}:
            self._said(opened)

    def _asked(self, opened: OpenedEvent) -> None:
        event = opened.event
        holders, own = event.score_requested.holders, event.actor == self._party
        concerns = own or self._party in holders
        if not concerns and self._is_foreign(event.correlation):
            self._known.pop(event.correlation, None)
            self._foreign.add(_digest(event.correlation))
            return
        request = self._request(event.correlation)
        request.concerns |= concerns
        if not request.asked_ms:
            request.asked_ms, request.asked_seq = event.time_ms, event.seq if own else 0
        if request.concerns:
            request.holders.update(holders)
        else:
            self._keep_own(request)

    def _is_foreign(self, correlation: str) -> bool:
        """Say whether nothing that is known of a request concerns this party."""
        known = self._known.get(correlation)
        return known is None or not (known.concerns or self._party in known.said)

    def _said(self, opened: OpenedEvent) -> None:
        event, own = opened.event, opened.event.actor == self._party
        foreign = _digest(event.correlation) in self._foreign
        if foreign and not own and self._is_foreign(event.correlation):
            return
        request = self._request(event.correlation)
        if foreign and not request.asked_ms:
            request.asked_ms = event.time_ms  # at the latest
        if request.asked_ms and not request.concerns and not own:
            return
        answered = opened.kind == "score_answered"
        said = request.said.setdefault(
            event.actor,
            _Said(event.seq if own else 0, event.time_ms, undecided=answered),
        )
        said.silent = not answered and event.score_decided.allowed

    def _keep_own(self, request: _Request) -> None:
        """Forget what others said about a request that does not concern this party."""
        for actor in request.said.keys() - {self._party}:
            del request.said[actor]

    def _request(self, correlation: str) -> _Request:
        request = self._known.setdefault(correlation, _Request())
        request.fresh = True
        return request

    def findings(self, young: Young, is_known: Callable[[str], bool]) -> list[Finding]:
        """Return what does not fit, but for what is young; forgets what is done with.

        ``is_known`` says of a run or request whether this party had said something
        about it when the mark was left.
        """
        found: list[Finding] = []
        for correlation, request in list(self._known.items()):
            if self._is_over(correlation, request, young, is_known):
                del self._known[correlation]
                continue
            if not request.concerns and self._party not in request.said:
                continue  # perhaps the request itself is still to come
            if not request.concerns and not self._is_open(request, young):
                self._keep_own(request)
            differences = [*request.differences(correlation)]
            for at, each in differences:
                if not young(at) and each.what not in request.told:
                    request.told.add(each.what)
                    found.append(each)
            if not any(young(at) for at, _ in differences):
                request.closed = True
                if self._party not in request.holders - request.said.keys():
                    del self._known[correlation]
        return found

    def _is_open(self, request: _Request, young: Young) -> bool:
        """Say whether the request that decisions belong to may still come."""
        newest = max((each.time_ms for each in request.said.values()), default=0)
        return not request.asked_ms and young(newest)

    def _is_over(
        self,
        correlation: str,
        request: _Request,
        young: Young,
        is_known: Callable[[str], bool],
    ) -> bool:
        """Say whether nothing need be remembered of a request."""
        asked, left = request.asked_ms > 0, correlation in self._left
        if request.closed and not request.fresh:
            return True
        if request.concerns:
            return False
        if self._party not in request.said:
            return not self._is_open(request, young)
        # What follows a request that was forgotten.
        return not asked and not left and is_known(correlation)

    def write(self) -> tuple[Mapping[str, object], ...]:
        """Return what ``read`` takes."""
        return tuple(
            {
                "correlation": correlation,
                "asked": request.asked_ms,
                "seq": request.asked_seq,
                "concerns": int(request.concerns),
                "closed": int(request.closed),
                "told": sorted(request.told),
                "holders": sorted(request.holders),
                "said": [
                    {
                        "actor": actor,
                        "seq": said.seq,
                        "time": said.time_ms,
                        "undecided": int(said.undecided),
                        "silent": int(said.silent),
                    }
                    for actor, said in request.said.items()
                ],
            }
            for correlation, request in self._known.items()
        )

    def read(self, written: Iterable[Mapping[str, object]], place: str) -> None:
        """Go on from what an earlier reconciliation left; raises RegistryError."""
        for each in written:
            fields = Fields(each, place)
            request = _Request(
                asked_ms=fields.number("asked"),
                asked_seq=fields.number("seq"),
                concerns=bool(fields.number("concerns")),
                closed=bool(fields.number("closed")),
                told={*fields.texts("told")},
                holders={*fields.texts("holders")},
                said=_read_said(fields.objects("said")),
            )
            self._known[fields.text("correlation")] = request
            fields.end()
        self._left = frozenset(self._known)


def _digest(correlation: str) -> bytes:
    return hashlib.sha256(correlation.encode()).digest()[:16]


def _read_said(written: Iterable[Fields]) -> dict[str, _Said]:
    said: dict[str, _Said] = {}
    for fields in written:
        said[fields.text("actor")] = _Said(
            fields.number("seq"),
            fields.number("time"),
            undecided=bool(fields.number("undecided")),
            silent=bool(fields.number("silent")),
        )
        fields.end()
    return said
