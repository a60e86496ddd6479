"""What names on the wire are called on a page."""

from collections.abc import Mapping
from typing import Final

from veilscore.runtime.web.language import gettext_noop

_WORDS: Final[Mapping[str, str]] = {
    # Kinds of events
    "party_joined": gettext_noop("Party joined"),
    "key_published": gettext_noop("Key published"),
    "run_opened": gettext_noop("Run opened"),
    "run_decided": gettext_noop("Run decided"),
    "step_done": gettext_noop("Step done"),
    "run_closed": gettext_noop("Run closed"),
    "model_registered": gettext_noop("Model registered"),
    "score_requested": gettext_noop("Scores requested"),
    "score_decided": gettext_noop("Score request decided"),
    "score_answered": gettext_noop("Score request answered"),
    "started": gettext_noop("Process started"),
    "registry_published": gettext_noop("Registry published"),
    # Fields of every event
    "version": gettext_noop("Version"),
    "actor": gettext_noop("Actor"),
    "seq": gettext_noop("Number in the actor's chain"),
    "previous": gettext_noop("Hash of the actor's previous event"),
    "time_ms": gettext_noop("Time on the actor's clock"),
    "correlation": gettext_noop("Belongs to"),
    # Fields of the details
    "party": gettext_noop("Party"),
    "fingerprint": gettext_noop("Key fingerprint"),
    "certificate": gettext_noop("Hash of the TLS certificate"),
    "rules": gettext_noop("Hash of the node's rules"),
    "log_policy": gettext_noop("Hash of the log policy"),
    "purpose": gettext_noop("Purpose"),
    "digest": gettext_noop("Hash"),
    "paillier_key": gettext_noop("Name of the Paillier key"),
    "paillier_bits": gettext_noop("Paillier key, bits"),
    "contract": gettext_noop("Hash of the contract"),
    "contract_body": gettext_noop("Contract"),
    "approved": gettext_noop("Approved"),
    "reason": gettext_noop("Reason"),
    "step": gettext_noop("Step"),
    "sent": gettext_noop("Hash of everything sent"),
    "bytes_bucket": gettext_noop("Bytes sent, rounded up"),
    "rows_bucket": gettext_noop("Rows, rounded up"),
    "flower_message": gettext_noop("Flower message"),
    "completed": gettext_noop("Completed"),
    "model": gettext_noop("Hash of the model"),
    "manifest": gettext_noop("Manifest of the model"),
    "commitment": gettext_noop("Salted commitment"),
    "holders": gettext_noop("Data holders asked"),
    "entities_bucket": gettext_noop("Entities, rounded up"),
    "consent": gettext_noop("Salted commitment to the consent"),
    "allowed": gettext_noop("Allowed"),
    "code": gettext_noop("Code of the refusal"),
    "ciphertexts": gettext_noop("Ciphertexts"),
    # Clauses of a contract, and a model's manifest
    "run": gettext_noop("Run"),
    "roster": gettext_noop("Parties"),
    "label_holder": gettext_noop("Label holder"),
    "key_bits": gettext_noop("Smallest Paillier key, bits"),
    "cover_ratio": gettext_noop("Cover rows for each labelled row"),
    "min_count": gettext_noop("Smallest count of a bin"),
    "count_epsilon": gettext_noop("Epsilon of the noise on counts"),
    "polish_steps": gettext_noop("Polish steps"),
    "polish_noise": gettext_noop("Noise of polish steps, in standard deviations"),
    "exact": gettext_noop("Exact steps"),
    "ridge": gettext_noop("Ridge penalty"),
    "max_columns": gettext_noop("Most columns of a holder"),
    "max_bins": gettext_noop("Most bins of a feature holder"),
    "max_rows": gettext_noop("Most rows of the run"),
    "base_points": gettext_noop("Points of the anchor"),
    "base_odds": gettext_noop("Good to bad odds at the anchor"),
    "points_to_double_odds": gettext_noop("Points that double the odds"),
    "granularity": gettext_noop("Scores are multiples of"),
    "known_to_all": gettext_noop("Only entities that all feature holders know"),
    "allow_two_party": gettext_noop("Only one feature holder"),
    "cards": gettext_noop("Cards"),
    "card": gettext_noop("Hash of the card"),
    "max_abs_points": gettext_noop("Largest partial score"),
    # Steps of a run
    "join": gettext_noop("Join"),
    "rows": gettext_noop("Rows"),
    "counts": gettext_noop("Counts"),
    "moments": gettext_noop("Moments"),
    "cross": gettext_noop("Cross moments"),
    "solve": gettext_noop("Solve"),
    "polish": gettext_noop("Polish"),
    "calibrate": gettext_noop("Calibrate"),
    "evaluate": gettext_noop("Evaluate"),
    "register": gettext_noop("Register"),
    # Roles of a party
    "coordinator": gettext_noop("Coordinator"),
    "data_holder": gettext_noop("Data holder"),
    "requester": gettext_noop("Requester"),
    "auditor": gettext_noop("Auditor"),
}


def word_of(name: str) -> str:
    """Return the text for a name, or the name itself if it has none."""
    return _WORDS.get(name, name)
