"""Records of a node that keeps nothing but what it was asked."""

from collections.abc import Sequence

from veilscore.node.records.consents import Consent
from veilscore.node.records.desk import AskedAbout

REQUEST = "c3" * 32


class SampleRecords:
    """Answers with one of everything; ``calls`` are what it was asked, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def disclose(self, request: str, entity: str = "", row: int = 0) -> bytes:
        self.calls.append(("disclose", request, entity, row))
        return b"{}\n"

    def asked_about(self, entity: str) -> Sequence[AskedAbout]:
        self.calls.append(("asked about", entity))
        asked = AskedAbout(
            REQUEST, 1_790_000_000, "bank", "pre_loan", "FORM-17", "answered"
        )
        return [asked]

    def erase(self, *, entity: str = "", request: str = "", before: float = 0) -> int:
        self.calls.append(("erase", entity, request, before))
        return 3

    def register(
        self,
        reference: str,
        entity: str,
        purposes: Sequence[str],
        until: int,
        document: bytes,
    ) -> int:
        self.calls.append(
            ("register", reference, entity, tuple(purposes), until, document)
        )
        return 9

    def withdraw(self, reference: str, entity: str) -> int:
        self.calls.append(("withdraw", reference, entity))
        return 1

    def registered(self) -> Sequence[Consent]:
        return [
            Consent("FORM-17", "X:firm", ("pre_loan",), 1_800_000_000, 0, 9, tree=1)
        ]
