"""What can go wrong with keys, proofs and sealed things."""

from enum import StrEnum

from veilscore.fault import Fault


class KeysError(Fault):
    """Base of all errors of this package."""

    code = "keys"


class InvalidKeyError(KeysError):
    """A key that must not be used: wrong size, wrong kind, expired."""

    code = "invalid-key"


class ExpiredCertificateError(InvalidKeyError):
    """A party's own certificate that only its operator can renew."""

    exit_code = 2


class InvalidCiphertextError(KeysError):
    """A number that is not a ciphertext of the key it claims."""

    code = "invalid-ciphertext"


class PlaintextRangeError(KeysError):
    """A plaintext or a sum outside the range that was proven to fit."""

    code = "plaintext-range"


class SignatureError(KeysError):
    """A signature that does not verify."""

    code = "bad-signature"


class SealError(KeysError):
    """An envelope or stored file that does not open, or not for us."""

    code = "bad-seal"


class ReplayError(KeysError):
    """Something that was received or used before."""

    code = "replay"


class FileError(KeysError):
    """A file that cannot be read or written, or is open to others."""

    code = "file"
    exit_code = 2


class KeystoreError(KeysError):
    """A keystore file that cannot be read, opened or trusted."""

    code = "keystore"
    exit_code = 2


class RegistryError(KeysError):
    """A party that is not registered, or not as it claims."""

    code = "registry"


class EntityIdError(KeysError):
    """An id that is not of its declared type."""

    code = "entity-id"


class LinkageError(KeysError):
    """A blinded set that breaks the rules of alignment."""

    code = "linkage"


class ProofError(KeysError):
    """A tree, checkpoint, proof or leaf that does not verify."""

    code = "bad-proof"
    exit_code = 7


class QuorumError(ProofError):
    """A checkpoint that too few witnesses have cosigned."""

    code = "quorum"


class LogPolicyError(KeysError):
    """A file that should say whose checkpoints to believe."""

    code = "log-policy"
    exit_code = 2


class LogStoreError(KeysError):
    """A log that cannot be read or must not be appended to."""

    code = "log-store"


class ContradictedLogError(LogStoreError):
    """A log that a witness has cosigned otherwise."""

    code = "log-contradicted"


class AuditError(ProofError):
    """An export of a log that fails a step of the audit."""

    code = "audit"

    def __init__(self, step: str, what: str, *, party: str = "", place: str) -> None:
        super().__init__(
            what,
            party=party,
            place=place,
            remedy="Keep the export as evidence; compare the coordinator's checkpoint "
            "with those that other parties hold.",
        )
        self.step = step


class WorkerError(KeysError):
    """A worker process that died, could not be started, or was closed."""

    code = "worker"


class Breach(StrEnum):
    """What went against the rules of secure aggregation, in one fixed word."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad-signature"
    REPLAY = "replay"  # signed for another run, round or attempt
    OTHER_TERMS = "other-terms"  # signed under another roster, contract or size
    OUT_OF_STEP = "out-of-step"
    REPEATED = "repeated"
    TWO_ANSWERS = "two-answers"  # two signed messages where there may be one
    BAD_LIST = "bad-list"  # a list that does not say what it must
    DROPOUT = "dropout"
    COHORT_CHANGE = "cohort-change"
    KEY_SWAP = "key-swap"
    KEY_REPLAY = "key-replay"
    DUPLICATE_KEY = "duplicate-key"
    MISSING_KEY = "missing-key"
    UNUSABLE_KEY = "unusable-key"
    BAD_SHARE = "bad-share"
    SURVIVOR_SPLIT = "survivor-split"
    BOTH_SHARES = "both-shares"
    SUM_SPLIT = "sum-split"


class AggregationError(KeysError):
    """Secure aggregation cannot go on, or not with this message.

    ``breach`` and ``evidence`` are what an incident in the log needs: a fixed word, and
    signed messages that show it to whoever knows the parties' keys. ``usual`` is the
    remedy where none is given.
    """

    code = "aggregation"
    usual = ""

    def __init__(
        self,
        breach: Breach,
        what: str,
        *,
        party: str = "",
        place: str = "",
        remedy: str = "",
        evidence: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(what, party=party, place=place, remedy=remedy or self.usual)
        self.breach = breach
        self.evidence = evidence


class UnheardError(AggregationError):
    """A message that changes nothing: whoever gets it may wait for a good one."""

    code = "aggregation-message"
    usual = "Wait for the right one; if it comes again, update the older program."


class DropoutError(AggregationError):
    """Members are missing, nobody else is to blame: the attempt is over."""

    code = "aggregation-dropout"
    usual = "Start another attempt when all members are there."


class MisconductError(AggregationError):
    """A party broke the rules: the attempt is over, and this is an incident."""

    code = "aggregation-misconduct"
    usual = "Use nothing of this attempt, and keep the messages as evidence."
