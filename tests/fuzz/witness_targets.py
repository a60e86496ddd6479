"""What witnesses get and answer, log policies, and evidence: what outlives a log.

Evidence is signed by whoever found it; so finders make some of it up.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target
from tests.unit.tlog.evidence_story import QUERY, RUN
from tests.unit.tlog.opening_story import Shower
from tests.unit.tlog.sample_log import NOW_MS
from veilscore.keys.documents import sign_document
from veilscore.keys.identity import EVIDENCE_DOMAIN
from veilscore.keys.tlog.cosignature import WitnessKey
from veilscore.keys.tlog.evidence.audit import audit_evidence
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.evidence.event import EventEvidence, is_about_event
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.recon.finding import Finding, Kind


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def cosigned_checkpoint(stock: Stock) -> Target:
    """Read a checkpoint as whoever holds a policy does."""
    log = stock.witnessed_log
    policy = log.policy

    def decode(data: bytes) -> None:
        policy.open(_text(data))

    return Target(decode, [log.cosigned.encode()], share=0.5)


def witness_key(stock: Stock) -> Target:
    (key, _) = (each.witness.key for each in stock.witnessed_log.observers)
    return Target(lambda data: WitnessKey.parse(_text(data)), [key.vkey.encode()])


def log_policy(stock: Stock) -> Target:
    return Target(LogPolicy.parse, [stock.witnessed_log.policy_text().encode()])


def submission(stock: Stock) -> Target:
    """Ask a witness to cosign."""
    log = stock.witnessed_log
    witness = log.observers[0].witness
    body = log.submission(5).body
    return Target(witness.add_checkpoint, [body], share=0.3)


def evidence(stock: Stock) -> Target:
    log = stock.witnessed_log
    found = Contradiction(log.store.key, log.store.signed(), log.cosigned)
    file = Evidence.sign(
        found, "auditor", stock.parties.signers["bank"], NOW_MS // 1000
    )
    return Target(Evidence.load, [file], share=0.5)


def evidence_bundle(stock: Stock) -> Target:
    """Read the evidence of a request and of a run."""
    bundles = [stock.story.of(each) for each in (QUERY, RUN)]
    pinned = stock.parties.fingerprint
    return Target(lambda data: audit_evidence(data, fingerprint=pinned), bundles)


def opening_file(stock: Stock) -> Target:
    """Read what parties show of a request, beside its evidence."""
    shower = Shower(stock.file("shown").parent, stock.parties)
    stock.parts.callback(shower.evidence.log.close)
    files = [
        shower.bank.file("bank", 1, consents=[shower.consent]),
        shower.bureau.file("bureau", 0, 2),
    ]
    written = [file.sign(stock.parties.signers[file.party]) for file in files]
    return Target(shower.audit_bytes, written, share=0.3)


def made_up_evidence(stock: Stock) -> Target:
    """Let a finder sign whatever it likes."""
    log, bank = stock.witnessed_log, stock.parties.signers["bank"]
    places = ("log", "first", "second", "finder")

    def decode(data: bytes) -> None:
        body: dict[str, object] = {
            "log": log.store.key.vkey,
            "first": log.store.signed(),
            "second": log.cosigned,
            "finder": "auditor",
            "found": 0,
        }
        if data:
            body[places[data[0] % len(places)]] = data[1:].decode(errors="replace")
        Evidence.load(sign_document(body, EVIDENCE_DOMAIN, bank))

    samples = [
        b"\0" + log.store.key.vkey.encode(),
        b"\1" + log.cosigned.encode(),
        b"\2" + log.store.signed().encode(),
    ]
    return Target(decode, samples, share=0.5)


def event_evidence(stock: Stock) -> Target:
    """Read what a node keeps of an event that it did not expect in the log."""
    log = stock.witnessed_log
    file = EventEvidence.sign(
        Finding(Kind.UNKNOWN, 1, "not ours"),
        log.store.inclusion(3),
        log.store.entry(3).opened.leaf,
        log.store.key,
        own=b"",
        finder="bank",
        signer=stock.parties.signers["bank"],
        found_s=NOW_MS // 1000,
    )

    def decode(data: bytes) -> None:
        is_about_event(data)
        EventEvidence.load(data)

    return Target(decode, [file], share=0.5)


def made_up_event_evidence(stock: Stock) -> Target:
    """Let a finder sign whatever it likes about an event."""
    log, bank = stock.witnessed_log, stock.parties.signers["bank"]
    leaf = log.store.entry(3).opened.leaf
    places = ("log", "proof", "leaf", "finder")

    def decode(data: bytes) -> None:
        body: dict[str, object] = {
            "kind": "unknown",
            "what": "not ours",
            "log": log.store.key.vkey,
            "proof": log.store.inclusion(3).text,
            "leaf": leaf.hex(),
            "own": "",
            "finder": "bank",
            "found": 0,
        }
        if data:
            place = places[data[0] % len(places)]
            text = data[1:].decode(errors="replace")
            body[place] = data[1:].hex() if place == "leaf" else text
        assert not EventEvidence.load(sign_document(body, EVIDENCE_DOMAIN, bank)).own

    samples = [
        b"\0" + log.store.key.vkey.encode(),
        b"\1" + log.store.inclusion(3).text.encode(),
        b"\2" + leaf,
    ]
    return Target(decode, samples, share=0.5)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "cosigned checkpoint": cosigned_checkpoint,
    "witness key": witness_key,
    "log policy": log_policy,
    "submission to a witness": submission,
    "evidence": evidence,
    "evidence bundle": evidence_bundle,
    "opening file": opening_file,
    "evidence that its finder made up": made_up_evidence,
    "evidence about an event": event_evidence,
    "evidence about an event that its finder made up": made_up_event_evidence,
}
