"""One line of the table, and how large the workloads are."""

from dataclasses import asdict, dataclass

from tests.bench.measure import Cost
from tests.bench.plain_phe import Operations, PlainPhe


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is encrypted, summed and sampled."""

    rows: int
    scores: int
    samples: int  # of each slow operation
    peer_rows: int  # what the peers' histogram is scaled up from
    columns: int = 23
    bins: int = 10
    holders: int = 3

    @property
    def cells(self) -> int:
        return self.columns * self.bins


FULL = Sizes(rows=30_000, scores=10_000, samples=24, peer_rows=3_000)
QUICK = Sizes(rows=1_500, scores=620, samples=4, peer_rows=500)


@dataclass(frozen=True, slots=True)
class Measured:
    """Work that was measured, and what plain phe would have to do for it, if anything.

    ``per`` names the unit that the cost is of.
    """

    what: str
    by: str
    per: str
    cost: Cost
    naive: Operations | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement beside its baseline of the same run."""

    bits: int
    measured: Measured
    baseline: Cost | None

    @classmethod
    def of(cls, bits: int, measured: Measured, plain: PlainPhe) -> "Row":
        naive = measured.naive
        return cls(bits, measured, plain.cost(naive) if naive else None)

    @property
    def ratio(self) -> float | None:
        """How many times the CPU time the baseline takes."""
        if self.baseline is None:
            return None
        return self.baseline.cpu_s / self.measured.cost.cpu_s

    def as_json(self) -> dict[str, object]:
        measured = self.measured
        return {
            "bits": self.bits,
            "what": measured.what,
            "by": measured.by,
            "per": measured.per,
            **asdict(measured.cost),
            "baseline": self.baseline
            and {
                "name": str(measured.naive),
                "cpu_s": self.baseline.cpu_s,
                "wall_s": self.baseline.wall_s,
                "wire_bytes": self.baseline.wire_bytes,
            },
            "ratio": self.ratio,
        }
