"""Every field of a message that the coordinator may decode, and what it may hold.

This is the coordinator's column of the table in models/README.md, field by field, for
runs in which every party agrees: no refusal, no error. Not on the list are therefore
texts that say why something failed, the messages of a run that are for a holder, and
whatever a later version adds; each makes the canary test fail until somebody has said
here what it may tell. What is listed but cannot be told from noise (sealed parts,
blinded points, digests) is what the scanner is for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.attacks.allowed_sums import sum_fields
from tests.attacks.field_rules import (
    Allowed,
    AllowList,
    between,
    bucket,
    inside,
    is_noise,
    message,
    octets,
    one_of,
    power_of_two,
    several,
    text,
)
from veilscore.keys.dleq import PROOF
from veilscore.keys.point_set import MAX_PARTS
from veilscore.keys.ristretto import POINT
from veilscore.keys.small_exponents import SUMS
from veilscore.keys.tlog.archive import MAX_FILE
from veilscore.keys.tlog.events import MOST_TOGETHER
from veilscore.models.vertical.marks import RowMark
from veilscore.runtime.chunks import CHUNK_BYTES, MAX_ENVELOPE_BYTES
from veilscore.v1.audit_pb2 import Event, SignedEvent
from veilscore.v1.envelope_pb2 import EnvelopeHeader
from veilscore.v1.hub_pb2 import NoticeKind, ReceivingKey
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract, StepReport

HEX_DIGEST = "[0-9a-f]{64}"
_YES = Allowed(lambda value: value is True)
_COUNT = between(0, 2**31)
_DIGEST = octets(32)
_SIGNATURE = octets(64)
_POINTS = between(0, 100_000)
_CLAUSE = between(-1, 2e6)  # of a contract: the coordinator's operator wrote it
_HPKE_OVERHEAD = 1120 + 16  # bytes: encapsulated key and tag
_SEND_S = (
    7200 + 15 * 60 + 600
)  # of a Flower message at most: a step, the phases of its sum, skew


@dataclass(frozen=True, slots=True)
class PublicKnowledge:
    """What everybody may know: who takes part in what, and between which times."""

    coordinator: str
    parties: tuple[str, ...]
    runs: tuple[str, ...]
    steps: tuple[str, ...]
    node_ids: frozenset[int]
    key_bits: int
    version: str
    since: float  # seconds since 1970
    until: float


def allowed_fields(known: PublicKnowledge) -> AllowList:
    """Return the allow-list of one federation."""
    sums = sum_fields(known.coordinator, known.parties, known.runs)
    return AllowList(
        {**_hub(known), **_log(known), **_run(known), **sums, **_flower(known)}
    )


def sealed(data: bytes) -> bool:
    """Return whether bytes can be an HPKE ciphertext and not a message in clear."""
    return len(data) >= _HPKE_OVERHEAD and is_noise(data)


def _hub(known: PublicKnowledge) -> Mapping[str, Allowed]:
    v1, purpose = "veilscore.v1.", _purpose(known)
    seconds = between(known.since - 86_400, known.until + 2 * 86_400)
    return {
        v1 + "AttachRequest.frame": message(),
        v1 + "Frame.seq": _COUNT,
        v1 + "Frame.hello": message(),
        v1 + "Frame.chunk": message(),
        v1 + "Frame.ack": message(),
        v1 + "Frame.notice": message(),
        v1 + "Frame.pong": message(),
        v1 + "Hello.session": octets(16),
        v1 + "Hello.hub_session": octets(16),
        v1 + "Hello.received": _COUNT,
        v1 + "Hello.version": one_of(known.version),
        v1 + "Chunk.envelope_id": octets(16),
        v1 + "Chunk.to": one_of(known.coordinator, *known.parties),
        v1 + "Chunk.offset": between(0, MAX_ENVELOPE_BYTES),
        v1 + "Chunk.total": between(0, MAX_ENVELOPE_BYTES),
        # Whole envelopes are decoded once all of their chunks are there.
        v1 + "Chunk.data": _at_most(CHUNK_BYTES),
        v1 + "Chunk.priority": one_of(0, 1),
        v1 + "Ack.received": _COUNT,
        v1 + "Notice.kind": one_of(NoticeKind.NOTICE_KIND_STEP_DONE),
        v1 + "Notice.run": one_of(*known.runs),
        v1 + "Notice.step": one_of(*known.steps),
        v1 + "Pong.token": between(0, 2**64 - 1),
        v1 + "PublishRequest.key": message(),
        v1 + "SignedKey.body": inside(ReceivingKey),
        v1 + "SignedKey.signature": _SIGNATURE,
        v1 + "ReceivingKey.party": one_of(*known.parties),
        v1 + "ReceivingKey.purpose": purpose,
        v1 + "ReceivingKey.hpke": octets(1184 + 32),
        v1 + "ReceivingKey.mask": octets(32),
        v1 + "ReceivingKey.nonce": octets(32),
        v1 + "ReceivingKey.paillier_modulus": octets(known.key_bits // 8),
        v1 + "ReceivingKey.not_before": seconds,
        v1 + "ReceivingKey.not_after": seconds,
        v1 + "DirectoryRequest.purpose": purpose,
        v1 + "AppendRequest.leaves": several(inside(SignedEvent), MOST_TOGETHER),
        v1 + "ReadLogRequest.path": text("checkpoint|tile/([0-7]|entries)/[x0-9/.p]+"),
        v1 + "ReadLogRequest.offset": between(0, MAX_FILE),
        v1 + "Envelope.header": inside(EnvelopeHeader),
        v1 + "Envelope.sealed": Allowed(sealed),
        v1 + "Envelope.signature": _SIGNATURE,
        v1 + "EnvelopeHeader.version": one_of(1),
        v1 + "EnvelopeHeader.purpose": purpose,
        v1 + "EnvelopeHeader.step": _either(known.steps, HEX_DIGEST),
        v1 + "EnvelopeHeader.sender": one_of(*known.parties),
        v1 + "EnvelopeHeader.recipient": one_of(known.coordinator, *known.parties),
        v1 + "EnvelopeHeader.seq": _COUNT,
        v1 + "EnvelopeHeader.recipient_key": octets(8),
    }


def _log(known: PublicKnowledge) -> Mapping[str, Allowed]:
    v1, purpose = "veilscore.v1.", _purpose(known)
    everybody = one_of(known.coordinator, *known.parties)
    bits = one_of(known.key_bits)
    details = Event.DESCRIPTOR.oneofs_by_name["detail"].fields
    fields = {
        v1 + "SignedEvent.body": inside(Event),
        v1 + "SignedEvent.key_id": octets(8),
        v1 + "SignedEvent.signature": _SIGNATURE,
        v1 + "Event.version": one_of(1),
        v1 + "Event.actor": everybody,
        v1 + "Event.seq": _COUNT,
        v1 + "Event.previous": _DIGEST,
        v1 + "Event.time_ms": between(1000 * known.since, 1000 * known.until),
        v1 + "Event.correlation": _either(known.runs, HEX_DIGEST),
        v1 + "PartyJoined.party": everybody,
        v1 + "PartyJoined.fingerprint": _DIGEST,
        v1 + "PartyJoined.paillier_key": _DIGEST,
        v1 + "KeyPublished.purpose": purpose,
        v1 + "KeyPublished.digest": _DIGEST,
        v1 + "KeyPublished.paillier_bits": bits,
        v1 + "RunOpened.contract": _DIGEST,
        v1 + "RunOpened.contract_body": inside(RunContract),
        v1 + "RunDecided.contract": _DIGEST,
        v1 + "RunDecided.approved": _YES,
        v1 + "StepDone.step": one_of(*known.steps),
        v1 + "StepDone.sent": _DIGEST,
        v1 + "StepDone.bytes_bucket": power_of_two(1 << 40),
        v1 + "StepDone.rows_bucket": bucket(2**31),
        v1 + "StepDone.flower_message": text(HEX_DIGEST),
        v1 + "RunClosed.completed": _YES,
        v1 + "ModelRegistered.model": _DIGEST,
        v1 + "ModelRegistered.manifest": inside(ModelManifest),
        v1 + "ScoreRequested.terms": _DIGEST,
        v1 + "ScoreRequested.model": _DIGEST,
        v1 + "ScoreRequested.purpose": one_of("pre_loan"),
        v1 + "ScoreRequested.holders": several(one_of(*known.parties), 2),
        v1 + "ScoreRequested.entities_bucket": power_of_two(1024),
        v1 + "ScoreRequested.entities": _DIGEST,
        v1 + "ScoreDecided.allowed": _YES,
        v1 + "ScoreDecided.model": _DIGEST,
        v1 + "ScoreDecided.terms": _DIGEST,
        v1 + "ScoreDecided.entities": _DIGEST,
        v1 + "ScoreAnswered.commitment": _DIGEST,
        v1 + "ScoreAnswered.ciphertexts": between(1, 1000),
        v1 + "ScoreAnswered.paillier_bits": bits,
        v1 + "Started.version": one_of(known.version),
        v1 + "Started.certificate": _DIGEST,
        v1 + "Started.rules": _DIGEST,
        v1 + "Started.log_policy": _DIGEST,
        v1 + "RegistryPublished.version": _COUNT,
        v1 + "RegistryPublished.digest": _DIGEST,
        v1 + "LogReconciled.own_size": _COUNT,
        v1 + "LogReconciled.own_root": _DIGEST,
        v1 + "LogReconciled.first_seq": _COUNT,
        v1 + "LogReconciled.last_seq": _COUNT,
        v1 + "LogReconciled.events": message(len(details)),
        v1 + "LogReconciled.log_size": _COUNT,
        v1 + "LogReconciled.log_root": _DIGEST,
        v1 + "TypeCount.type": one_of(*(field.name for field in details)),
        v1 + "TypeCount.count": _COUNT,
        v1 + "ConsentRegistered.consent": _DIGEST,
        v1 + "ConsentRegistered.subject": _DIGEST,
        v1 + "ConsentRegistered.purposes": several(one_of("pre_loan"), 1),
        v1 + "ConsentRegistered.until": between(known.since, known.until + 7200),
        v1 + "ConsentRegistered.document": _DIGEST,
        v1 + "ConsentWithdrawn.registered": _COUNT,
        v1 + "ConsentWithdrawn.consent": _DIGEST,
        v1 + "ConsentWithdrawn.subject": _DIGEST,
        v1 + "Erased.reason": one_of("entity"),
        v1 + "Erased.openings_bucket": power_of_two(1024),
    }
    return fields | {field.full_name: message() for field in details}


def _run(known: PublicKnowledge) -> Mapping[str, Allowed]:
    v1, holders = "veilscore.v1.", len(known.parties)
    fields = {
        v1 + "RunContract.run": one_of(*known.runs),
        v1 + "RunContract.roster": message(holders),
        v1 + "RosterEntry.party": one_of(*known.parties),
        v1 + "RosterEntry.fingerprint": _DIGEST,
        v1 + "RunContract.label_holder": one_of(*known.parties),
        v1 + "ModelManifest.run": one_of(*known.runs),
        v1 + "ModelManifest.contract": _DIGEST,
        v1 + "ModelManifest.cards": message(holders),
        v1 + "ModelManifest.base_points": _CLAUSE,
        v1 + "ModelManifest.base_odds": _CLAUSE,
        v1 + "ModelManifest.points_to_double_odds": _CLAUSE,
        v1 + "ModelManifest.granularity": _CLAUSE,
        v1 + "CardEntry.party": one_of(*known.parties),
        v1 + "CardEntry.card": _DIGEST,
        v1 + "CardEntry.max_abs_points": _POINTS,
        v1 + "StepReport.sent": _DIGEST,
        v1 + "StepReport.bytes_bucket": power_of_two(1 << 40),
        v1 + "StepReport.card": _DIGEST,
        v1 + "StepReport.max_abs_points": _POINTS,
        v1 + "StepReport.estimated_s": bucket(86_400),
        # What the coordinator opens: of a run's messages these four and sums, no other.
        v1 + "TrainingMessage.blinded_set": message(),
        v1 + "BlindedSet.owner": one_of(*known.parties),
        v1 + "BlindedSet.hops": one_of(holders),
        v1 + "BlindedSet.points": Allowed(
            lambda points: len(points) % POINT == 0 and is_noise(points)
        ),
        v1 + "BlindedSet.part": between(0, MAX_PARTS - 1),
        v1 + "BlindedSet.parts": between(1, MAX_PARTS),
        v1 + "TrainingMessage.set_marks": message(),
        v1 + "SetMarks.marks": Allowed(lambda marks: set(marks) <= set(RowMark)),
        v1 + "TrainingMessage.hop_key": message(),
        v1 + "HopKey.key": octets(POINT),
        v1 + "TrainingMessage.hop_proof": message(),
        v1 + "HopProof.sums": message(holders),
        v1 + "HopProof.proof": octets(PROOF),
        v1 + "HopSums.owner": one_of(*known.parties),
        v1 + "HopSums.taken": octets(POINT, SUMS),
        v1 + "HopSums.passed": octets(POINT, SUMS),
    }
    clauses = {field.full_name for field in RunContract.DESCRIPTOR.fields}
    return dict.fromkeys(clauses, _CLAUSE) | fields


def _flower(known: PublicKnowledge) -> Mapping[str, Allowed]:
    proto, node_id = "flwr.proto.", one_of(0, *known.node_ids)
    seconds = between(0, _SEND_S)
    run_id = between(0, 2**64 - 1)  # checked by the SuperLink, which chose it
    of_nodes = (
        *("PullMessages", "PushMessages", "GetRun", "GetFab", "PushObject"),
        *("PullObject", "ConfirmMessageReceived", "SendNodeHeartbeat"),
    )
    object_id = text(HEX_DIGEST)
    fields = {
        proto + "Node.node_id": node_id,
        proto + "ActivateNodeRequest.public_key": _at_most(500),
        proto + "ActivateNodeRequest.heartbeat_interval": seconds,
        proto + "DeactivateNodeRequest.node_id": node_id,
        proto + "SendNodeHeartbeatRequest.heartbeat_interval": seconds,
        proto + "PullMessagesRequest.message_ids": several(object_id, 0),
        proto + "PushMessagesRequest.messages_list": message(),
        proto + "PushMessagesRequest.message_object_trees": message(),
        proto + "PushMessagesRequest.clientapp_runtime_list": seconds,
        proto + "GetRunRequest.run_id": run_id,
        proto + "GetFabRequest.hash_str": object_id,
        proto + "GetFabRequest.run_id": run_id,
        proto + "ObjectTree.object_id": object_id,
        proto + "ObjectTree.children": message(),
        # The content is decoded by itself; its id is its hash, which is checked.
        proto + "PushObjectRequest.run_id": run_id,
        proto + "PushObjectRequest.object_id": object_id,
        proto + "PushObjectRequest.object_content": _at_most(4096),
        proto + "PushObjectRequest.session_id": text("[0-9a-f-]{0,64}"),
        proto + "PullObjectRequest.run_id": run_id,
        proto + "PullObjectRequest.object_id": object_id,
        proto + "ConfirmMessageReceivedRequest.run_id": run_id,
        proto + "ConfirmMessageReceivedRequest.message_object_id": object_id,
        proto + "Message.metadata": message(),
        proto + "Message.content": message(),  # an empty one; objects hold it
        proto + "Metadata.run_id": run_id,
        proto + "Metadata.message_id": object_id,
        proto + "Metadata.src_node_id": node_id,
        proto + "Metadata.dst_node_id": between(0, 2**64 - 1),
        proto + "Metadata.dst_task_id": between(0, 2**64 - 1),
        proto + "Metadata.reply_to_message_id": object_id,
        proto + "Metadata.group_id": one_of(*known.steps),
        proto + "Metadata.ttl": seconds,
        proto + "Metadata.message_type": one_of("query.step"),
        proto + "Metadata.created_at": between(known.since, known.until),
        # A reply: that it is one, and the report.
        proto + "ConfigRecord.items": message(4),
        proto + "ConfigRecord.Item.key": one_of("ok", "payload", "code", "reason"),
        proto + "ConfigRecord.Item.value": message(),
        proto + "ConfigRecordValue.bool": _YES,
        proto + "ConfigRecordValue.bytes": inside(StepReport),
        proto + "ConfigRecordValue.string": one_of(""),
    }
    return fields | {f"{proto}{name}Request.node": message() for name in of_nodes}


def _purpose(known: PublicKnowledge) -> Allowed:
    return one_of("score", *(f"run:{run}" for run in known.runs))


def _either(names: tuple[str, ...], pattern: str) -> Allowed:
    return text("|".join((*names, pattern)))


def _at_most(size: int) -> Allowed:
    return Allowed(lambda data: len(data) <= size)
