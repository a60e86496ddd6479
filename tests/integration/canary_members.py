"""A federation of members with the same columns, whose rows and vectors are canaries.

It is run and recorded as ``canary_federation`` says. Its nodes write down every vector
that they add up and every sum that they learn: these are secrets, too.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.attacks.canary_forms import CanaryWords
from tests.integration import leaking_member, recording_member
from tests.integration.canary_data import plant_regions
from tests.integration.canary_evidence import KEY_BITS, PARTIES, Evidence
from tests.integration.canary_federation import BANK, LEAKY, CanaryFederation
from tests.integration.often_reconciled import reconcile_often
from veilscore.lab.comparison import export_card, score_and_compare
from veilscore.lab.enrolment import enrol
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.plain import read_table
from veilscore.lab.training import Trained, joint_contract
from veilscore.models.steps import steps
from veilscore.runtime.settings import loads
from veilscore.v1.training_pb2 import HorizontalTerms, RunContract

ROUNDS: Final = 2
STEPS: Final = tuple(steps(RunContract(horizontal=HorizontalTerms(rounds=ROUNDS))))
_ASKED: Final = 30
_RECON_S: Final = 15.0
_PARTY: Final = """\
[[party]]
name = "{name}"
holder = "{name}"
roles = ["data_holder", "requester"]
training = {{ approve_horizontal = "automatic", min_rows = 50 }}
scoring = {{ requesters = ["bank"], purposes = ["pre_loan"], allow_two_party = true }}
"""
_LAB: Final = """\
name = "members"
key_bits = {key_bits}
[data]
file = "loans.csv.gz"
split = "split.csv.gz"
regions = "regions.csv.gz"
categorical = {categorical}
{parties}
[[run]]
name = "joint"
contract = {{ max_rows = 1000, horizontal = {{ rounds = {rounds} }} }}
[score]
requester = "bank"
holder = "market"
entities = {asked}
"""


@dataclass(slots=True)
class CanaryMembers(CanaryFederation):
    """A federation that trains horizontally."""

    words: Path = field(default=Path(), kw_only=True)

    @classmethod
    def create(cls, folder: Path) -> "CanaryMembers":
        """Write the data and let every member join."""
        data, state, words = folder / "data", folder / "state", folder / "words"
        for each in (data, state, words):
            each.mkdir()
        planted = plant_regions(data, PARTIES)
        text = _LAB.format(
            key_bits=KEY_BITS,
            categorical=json.dumps(planted.categorical),
            parties="".join(_PARTY.format(name=name) for name in PARTIES),
            rounds=ROUNDS,
            asked=_ASKED,
        )
        lab = loads(text.encode(), LabFile, None)
        holdings = dict(make_holdings(lab, data, state))
        federation = enrol(lab, holdings, state, lambda _: None)
        for member in federation.members.values():
            reconcile_often(member.config, _RECON_S)
        path = federation.folder / "joint.contract.toml"
        contract = joint_contract(lab, lab.run[0], holdings)
        path.write_text(contract, encoding="utf-8")
        return cls(lab, federation, state, planted.secrets, path, words=words)

    def run(self) -> Evidence:
        """Do what ``CanaryFederation`` does, and note all vectors."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(recording_member.FOLDER, str(self.words))
            evidence = CanaryFederation.run(self)
        for what, vector in recording_member.read_vectors(self.words):
            self.secrets += CanaryWords.of(what, vector)
        return evidence

    def _evidence(self, name: str) -> Evidence:
        folder = self.state.parent / name
        folder.mkdir()
        return Evidence(folder, time.time(), steps=STEPS)

    def _nodes(self, *, leaking: bool) -> dict[str, str]:
        if leaking:
            return {LEAKY: leaking_member.MODULE}
        return dict.fromkeys(PARTIES, recording_member.MODULE)

    def _score(self, trained: Trained) -> None:
        """Ask one member for scores of its own rows."""
        members = self.federation.members
        holder = self.lab.score.holder
        assert holder is not None
        table = read_table(members[holder].holding)
        self.scores = score_and_compare(
            members[BANK],
            trained.model,
            table.written[: self.lab.score.entities],
            {holder: export_card(members[holder], trained.model)},
            {holder: table},
            holder,
        )
