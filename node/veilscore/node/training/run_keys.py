"""The keys of one run at this node: fresh, in memory, and gone with the run.

With them it opens and seals the run's envelopes and derives the masks of its roster.
What a stolen disk or a recorded line holds is closed once the run is over.
"""

import hashlib

from google.protobuf.message import DecodeError

from veilscore.keys import masks
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import (
    PeerKeys,
    ReceivingKeys,
    named_party,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.sealing import Opener, Sealer
from veilscore.node.errors import TrainingError
from veilscore.node.training.surroundings import Surroundings
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

# Receiving keys are valid this long; the clocks of two hosts may differ.
_VALID_S = 24 * 3600
_SKEW_S = 300


class RunKeys:
    """Own keys and those of everybody on the roster, the coordinator among them.

    ``contract_bytes`` are the contract as everybody got it.
    """

    def __init__(
        self, around: Surroundings, contract: RunContract, contract_bytes: bytes
    ) -> None:
        self._around = around
        self._contract = contract
        self._contract_bytes = contract_bytes
        self._purpose = run_purpose(contract.run)
        self._own = ReceivingKeys.generate()
        self._peers: dict[str, PeerKeys] = {}
        self._sealer = Sealer(around.signer, around.party, {})
        self._opener: Opener | None = None

    @property
    def parties(self) -> set[str]:
        """The roster and the coordinator."""
        roster = {entry.party for entry in self._contract.roster}
        return roster | {self._around.coordinator}

    def publish(self) -> SignedKey:
        """Hand the own public halves in, signed: from now on envelopes open."""
        around, now = self._around, int(self._around.clock())
        signed = self._own.signed(
            around.signer,
            around.party,
            self._purpose,
            paillier=around.private_key.public,
            not_before=now - _SKEW_S,
            not_after=now + _VALID_S,
        )
        key_id = hashlib.sha256(signed.body).digest()[:8]
        self._opener = Opener(
            around.party, self._purpose, {key_id: self._own}, {}, MAX_ENVELOPE_BYTES
        )
        around.publish(signed)
        return signed

    def meet(self) -> None:
        """Fetch and verify everybody's keys; raises TrainingError naming whose lack."""
        coordinator, now = self._around.coordinator, self._around.clock()
        for signed in self._around.directory(self._purpose):
            # A key of a party outside the roster must not be able to stop the run.
            if named_party(signed) in self.parties:
                peer = verify_signed_key(
                    signed, self._around.registry, self._purpose, now
                )
                self._peers[peer.party] = peer
        missing = sorted(
            name
            for name in self.parties
            if name not in self._peers
            or (name != coordinator and self._peers[name].paillier is None)
        )
        if missing:
            raise TrainingError(
                "published no key for this run",
                party=", ".join(missing),
                remedy="look at that node's status page and start the run again",
            )

    def open(self, envelope: bytes) -> tuple[str, TrainingMessage]:
        """Return who sent an envelope of this run, and what.

        Raises a Fault that names its sender.
        """
        if self._opener is None:
            raise TrainingError("the run is over")
        header, plaintext = self._opener.open(envelope, self._around.registry)
        if header.sender not in self.parties:
            raise TrainingError("is no party of the run", party=header.sender)
        try:
            return header.sender, TrainingMessage.FromString(plaintext)
        except DecodeError as error:
            raise TrainingError(
                "sent what cannot be read", party=header.sender
            ) from error

    def seal(self, step: str, to: str, message: TrainingMessage) -> bytes:
        """Return the envelope for a party that was met."""
        return self._sealer.seal(step, self._peers[to], message.SerializeToString())

    def paillier(self, party: str) -> PublicKey:
        """Return a party's key, which has the bits that the contract asks for."""
        return self._peers[party].paillier_key(self._contract.key_bits)

    def pair_secret(self, party: str) -> bytes:
        """Return what only this node and that party can derive in this run."""
        return masks.pair_secret(
            self._own.mask, self._peers[party].mask, self._mask_context()
        )

    def _mask_context(self) -> bytes:
        """Bind masks to contract, roster and every party's fresh nonce and key."""
        bound = hashlib.sha256(self._contract_bytes)
        for entry in self._contract.roster:
            bound.update(entry.party.encode() + b"\0" + entry.fingerprint)
            bound.update(self._peers[entry.party].digest)
        return bound.digest()

    def forget(self) -> None:
        """Drop all keys: nothing of the run can be opened any more."""
        self._opener = None
        self._peers, self._own = {}, ReceivingKeys.generate()
