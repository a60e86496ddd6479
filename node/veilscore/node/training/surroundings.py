"""What a run uses of the node it runs on."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.registry import Registry
from veilscore.models.script import Action, Arrived
from veilscore.node.columns import Columns
from veilscore.v1.hub_pb2 import SignedKey

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The node's name, keys, peers and columns, and its line to the hub."""

    party: str
    coordinator: str
    signer: Signer
    registry: Registry
    private_key: PrivateKey
    workers: PaillierWorkers
    source: Columns
    send: Callable[[str, bytes], None]  # to a party, through the hub
    publish: Callable[[SignedKey], None]
    directory: Callable[[str], list[SignedKey]]
    clock: Callable[[], float]
    step_timeout_s: float
    min_rows: int


class Drive(Protocol):
    """Runs a script: sends what it sends, waits for what it awaits."""

    def __call__(self, script: Generator[Action, Arrived, Result]) -> Result:
        """Return the script's result; raises what it raises."""
        ...
