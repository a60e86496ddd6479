"""What targets are made of: parties, keys, a log; each made when first asked for."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.fuzz.rehearsal import Rehearsal, rehearsed_contract
from tests.protocol.score_world import START, People, World, world
from tests.unit.tlog.evidence_story import Evidence
from tests.unit.tlog.sample_log import Parties, SampleLog
from tests.unit.tlog.witnessed_log import WitnessedLog, witnessed_log
from tests.unit.web.sample_coordinator import fill_log
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import FlowerKey, TlsKey
from veilscore.keys.enrolment import WelcomeKit
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.receiving import PeerKeys, ReceivingKeys, verify_signed_key
from veilscore.keys.registry import Registry
from veilscore.v1.hub_pb2 import SignedKey

NOW: Final = START


@dataclass
class Stock:
    """Shared by all targets of a session, which change nothing of it."""

    folder: Path
    parts: ExitStack = field(default_factory=ExitStack)  # closed after all tests
    _files: int = 0
    _rehearsals: dict[str, Rehearsal] = field(default_factory=dict[str, Rehearsal])

    def file(self, name: str) -> Path:
        """Return a path of its own for a target to write its input to."""
        self._files += 1
        folder = self.folder / str(self._files)
        folder.mkdir()
        return folder / name

    @cached_property
    def people(self) -> People:
        return People.create(self.file("people").parent)

    @cached_property
    def paillier(self) -> PrivateKey:
        return self.people.paillier["bank"]

    @cached_property
    def parties(self) -> Parties:
        return Parties.generate()

    @cached_property
    def log(self) -> SampleLog:
        """Return a log with an event of every kind."""
        sample = SampleLog(self.file("log").parent, self.parties)
        self.parts.callback(sample.store.close)
        fill_log(sample)
        return sample

    @cached_property
    def witnessed_log(self) -> WitnessedLog:
        """Return a log of some entries, of which the first five are cosigned."""
        folder = self.file("witnessed").parent
        log = self.parts.enter_context(witnessed_log(folder, self.parties))
        log.fill(5, "bank")
        log.cosigned = log.cosign(0)
        log.fill(300, "bank")
        return log

    @cached_property
    def story(self) -> Evidence:
        """Return the log of a run and a score request, to take evidence from."""
        made = Evidence(self.file("story").parent, self.parties)
        self.parts.callback(made.log.close)
        return made

    def hub(self) -> World:
        """Return a hub in memory with a log of its own."""
        return self.parts.enter_context(world(self.file("hub").parent, self.people))

    def welcome_kit(self) -> bytes:
        """Return the bank's kit, which its own key fits."""
        hub = self.people.signers["hub"]
        return WelcomeKit.sign(
            hub,
            "bank",
            certificate=self.certificate,
            authority=self.authority.certificate_pem,
            registry_file=Registry.sign(self.people.registry.records, hub, 1),
            log_policy=b"quorum none\n",
            addresses={"hub": "hub.example:9443"},
        )

    def rehearsal(self, mode: str) -> Rehearsal:
        """Return a run without polish steps, with two, or with two exact ones."""
        if mode not in self._rehearsals:
            steps = 0 if mode == "default" else 2
            asked = rehearsed_contract(polish=steps, exact=mode == "exact")
            self._rehearsals[mode] = Rehearsal(asked)
        return self._rehearsals[mode]

    @cached_property
    def tls(self) -> TlsKey:
        return TlsKey.generate()

    @cached_property
    def flower(self) -> FlowerKey:
        return FlowerKey.generate()

    @cached_property
    def authority(self) -> DevelopmentAuthority:
        return DevelopmentAuthority.create("an authority", NOW, 900)

    @cached_property
    def certificate(self) -> bytes:
        """Return the bank's certificate in PEM."""
        request = self.tls.request("bank")
        return self.authority.issue(request, "bank", NOW, 90, ["bank.example", "::1"])

    @cached_property
    def receiving(self) -> Mapping[str, ReceivingKeys]:
        return {name: ReceivingKeys.generate() for name in self.people.signers}

    def signed_key(self, party: str, purpose: str) -> SignedKey:
        """Return a party's receiving key, valid now."""
        private = self.people.paillier.get(party)
        return self.receiving[party].signed(
            self.people.signers[party],
            party,
            purpose,
            paillier=private.public if private else None,
            not_before=int(NOW) - 60,
            not_after=int(NOW) + 3600,
        )

    def peer(self, party: str, purpose: str) -> PeerKeys:
        """Return a party's receiving key as others see it."""
        signed = self.signed_key(party, purpose)
        return verify_signed_key(signed, self.people.registry, purpose, NOW)
