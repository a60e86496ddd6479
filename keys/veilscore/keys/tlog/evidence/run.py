"""The audit of a training run's evidence: the contract, who approved, what was made."""

from collections.abc import Sequence
from typing import Final

from veilscore.keys.errors import ProofError
from veilscore.keys.paillier.public import MINIMUM_BITS
from veilscore.keys.tlog.evidence.steps import (
    ENCRYPTION,
    MODEL,
    VerifiedEvents,
    check_registered_by_all,
    contract_of,
    manifest_of,
    one,
)
from veilscore.keys.tlog.evidence.sums import SUMS, audit_sums
from veilscore.v1.training_pb2 import RunContract

CONTRACT: Final = "contract"
END: Final = "end of the run"
APPROVALS: Final = "approvals"


def audit_run(evidence: VerifiedEvents) -> None:
    """Verify one run from its contract to its model; raises AuditError."""
    with evidence.step(CONTRACT):
        opened = one(evidence.own("run_opened"), "run")
        contract = contract_of(evidence, opened, evidence.bundle.correlation)
        parties = [entry.party for entry in contract.roster]
        evidence.fact("contract", opened.run_opened.contract.hex())
        _kind(evidence, contract)
        evidence.fact("parties", ", ".join(parties))
    with evidence.step(END):
        closed = one(evidence.own("run_closed"), "end of the run")
        if closed.actor != evidence.coordinator:
            raise ProofError("a run is ended by the coordinator", party=closed.actor)
        end = closed.run_closed
        evidence.fact(
            "ended", "with a model" if end.completed else f"stopped: {end.reason}"
        )
    if not end.completed:
        return
    with evidence.step(APPROVALS):
        _approvals(evidence, parties, opened.run_opened.contract)
    if not contract.HasField("horizontal"):
        with evidence.step(ENCRYPTION):
            _keys_of_run(evidence, contract)
    with evidence.step(MODEL):
        registered = evidence.own("model_registered")
        if not registered:
            raise ProofError("no party has registered a model")
        model = registered[0].model_registered.model
        manifest = manifest_of(registered, model)
        check_registered_by_all(registered, contract, manifest)
        if manifest.contract != opened.run_opened.contract:
            raise ProofError("the model was made under another contract")
        evidence.fact("model", model.hex())
    if manifest.whole:
        with evidence.step(SUMS):
            audit_sums(evidence, contract, [card.party for card in manifest.cards])
            for event in evidence.own("privacy_spent"):
                spent = event.privacy_spent
                told = f"epsilon {spent.epsilon:.4g} in all at delta {spent.delta:.4g}"
                evidence.fact(f"privacy budget of {event.actor}", told)


def _kind(evidence: VerifiedEvents, contract: RunContract) -> None:
    if not contract.HasField("horizontal"):
        evidence.fact("label holder", contract.label_holder)
        evidence.fact("least Paillier key", f"{contract.key_bits} bits")
        return
    terms = contract.horizontal
    evidence.fact("kind", "horizontal: the parties have the same columns, own labels")
    evidence.fact("columns", ", ".join(column.name for column in terms.columns))
    evidence.fact("rounds of training", terms.rounds)
    if not terms.HasField("privacy"):
        evidence.fact("noise", "none")
        return
    noisy = terms.privacy
    evidence.fact(
        "noise",
        f"{noisy.noise:.4g} times what a row can change a sum of gradients by, "
        f"{noisy.count_noise:.4g} times on counts",
    )


def _approvals(evidence: VerifiedEvents, parties: Sequence[str], digest: bytes) -> None:
    decided = evidence.own("run_decided")
    for party in parties:
        own = [event.run_decided for event in decided if event.actor == party]
        if [each.approved for each in own] != [True] or own[0].contract != digest:
            raise ProofError("it did not approve this contract", party=party)
    evidence.fact("approved by", ", ".join(parties))


def _keys_of_run(evidence: VerifiedEvents, contract: RunContract) -> None:
    bits = {
        event.actor: event.key_published.paillier_bits
        for event in evidence.own("key_published")
        if event.key_published.purpose == f"run:{contract.run}"
    }
    for entry in contract.roster:
        if bits.get(entry.party, 0) < max(contract.key_bits, MINIMUM_BITS):
            raise ProofError(
                f"it took part with a key of {bits.get(entry.party, 0)} bits",
                party=entry.party,
            )
    told = (f"{party} {size}" for party, size in sorted(bits.items()) if size)
    evidence.fact("Paillier keys, bits", ", ".join(told))
