"""How long an event waits for its receipt, from its signature to the proof on disk.

This process is the party: it opens the folder of a member whose node does not run, and
signs, sends and verifies as a node does, through the hub of a coordinator in a process
of its own. An event counts only when the log's proof of it, under a checkpoint that all
witnesses have cosigned, is verified and on this disk.
"""

import hashlib
import importlib.metadata
import statistics
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from veilscore.keys.certificates import TlsKey
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.log_policy import read_policy
from veilscore.lab.enrolment import Member
from veilscore.node import config, setup
from veilscore.node.link import Link
from veilscore.node.log.receipts import Receipts
from veilscore.node.log.recon_state import EVENTS
from veilscore.runtime import joining
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1.audit_pb2 import ScoreAnswered

_ATTACHED_S: Final = 30.0
_BAR: Final = f"{'':>9}  bar p95 1000"  # with two witnesses
_ANSWER: Final = ScoreAnswered(
    commitment=bytes(range(32)), ciphertexts=1, paillier_bits=3072
)


@dataclass(frozen=True, slots=True)
class ReceiptWaits:
    """How long the receipts of single events took, in seconds."""

    callers: int
    seconds: Sequence[float]
    elapsed: float

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """What one in twenty exceeds."""
        return sorted(self.seconds)[int(0.95 * len(self.seconds))]

    def line(self) -> str:
        """Return a line of a table."""
        return (
            f"{'receipt':>9} {self.callers:>8} {len(self.seconds):>6} "
            f"{self.p50 * 1e3:>8.1f} {self.p95 * 1e3:>8.1f} "
            f"{len(self.seconds) / self.elapsed:>9.1f}{_BAR}"
        )


@contextmanager
def recording(member: Member) -> Generator[Receipts]:
    """Attach as this member, whose node must not run, and record its events.

    There is no time of grace: an event without its witnesses is an error.
    """
    settings = config.read(member.config)
    kit, keystore = setup.load_kit(settings), setup.open_keystore(settings)
    signer = Signer.from_private_bytes(keystore.get(joining.SIGNING))
    tls = TlsIdentity(
        authority=kit.authority,
        certificate=kit.certificate,
        key=TlsKey.from_pem(keystore.get(joining.TLS)).private_pem(),
    )
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = Link(
        kit.addresses["hub"],
        tls,
        on_envelope=_ignore,
        on_notice=_ignore,
        on_lost=_ignore,
        on_state=_ignore,
        server_name=kit.addresses.get("server_name", ""),
        version=importlib.metadata.version("veilscore"),
    )
    with closing(Database(settings.state / EVENTS)) as file:
        chain = ActorChain(file, signer, member.name)
        policy = read_policy(settings.log.policy)
        link.start()
        try:
            link.wait_ready(_ATTACHED_S)
            yield Receipts(chain, link.append, policy, time.time)
        finally:
            link.close()
        if chain.pending():
            raise RuntimeError("not every event has its receipt")


def wait_for_receipts(receipts: Receipts, events: int, callers: int) -> ReceiptWaits:
    """Record events one by one, from as many callers at once."""

    def caller(number: int) -> list[float]:
        taken: list[float] = []
        for event in range(number, events, callers):
            request = hashlib.sha256(f"{callers} {event}".encode()).hexdigest()
            began = time.perf_counter()
            receipts.record(_ANSWER, correlation=request)
            taken.append(time.perf_counter() - began)
        return taken

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        taken = [one for many in threads.map(caller, range(callers)) for one in many]
    return ReceiptWaits(callers, taken, time.perf_counter() - began)


def _ignore(*_: object) -> None:
    """Hear nothing of other parties."""
