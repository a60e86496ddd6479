"""No decoder is forgotten: every place that decodes lies in a module that is fuzzed.

A new one fails here until somebody says which targets feed it, or why nobody else can.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.fuzz.test_decoders import TARGETS

_ROOT: Final = Path(__file__).parents[2]
_SOURCES: Final = ("node", "coordinator", "models", "keys", "protos", "deploy")

# What turns bytes or text of others into something: calls by their last name, or by
# the last two where one would name too much.
_DECODERS: Final = {
    *("FromString", "ParseFromString", "MergeFromString"),
    *("json.loads", "json.load", "tomllib.loads", "tomllib.load"),
    *("model_validate", "model_validate_json", "validate_json", "validate_python"),
    *("load_pem_public_key", "load_pem_private_key", "load_pem_x509_csr"),
    *("load_pem_x509_certificate", "load_der_x509_certificate", "load_der_public_key"),
    *("from_public_bytes", "from_private_bytes", "from_seed_bytes"),
    *("read_integers", "frombuffer", "fromhex", "b64decode", "fromisoformat"),
    *("int.from_bytes", "struct.unpack", "unpack_from", "unpackb", "pickle.loads"),
    *("tarfile.open", "gzip.open", "zipfile.ZipFile", "zlib.decompress"),
    *("csv.reader", "csv.DictReader", "sqlite3.connect", "ParquetFile", "make_url"),
    # Flower's own, of what came through it.
    *("inflate_object_from_contents", "pull_and_inflate_object_from_tree"),
    *("context_from_proto", "run_from_proto", "get_fused_config_from_fab"),
    *("pull_messages", "config_records"),
    *("parse_qsl", "urlsplit", "urlparse", "literal_eval", "safe_load", "fromstring"),
}

# The targets that reach each module's decoders.
COVERED: Final[Mapping[str, tuple[str, ...]]] = {
    "veilscore.coordinator.alignment": ("sets at the coordinator",),
    "veilscore.coordinator.directory": ("receiving key",),
    "veilscore.coordinator.fleet": ("reply through Flower",),
    "veilscore.coordinator.post": ("message to the coordinator",),
    "veilscore.coordinator.replies": ("step report",),
    "veilscore.coordinator.web.decoding": ("event that its actor made up",),
    "veilscore.coordinator.web.evidence": ("web of the coordinator",),
    "veilscore.keys.aggregation.attempt_keys": ("aggregation, keys",),
    "veilscore.keys.aggregation.dealing": ("aggregation, sealed shares",),
    "veilscore.keys.aggregation.evidence": ("evidence of misconduct",),
    "veilscore.keys.aggregation.relayed": (
        "aggregation, keys passed on",
        "aggregation, shares passed on",
        "aggregation, agreement passed on",
    ),
    "veilscore.keys.aggregation.wire": (
        "aggregation message",
        "aggregation, keys",
        "aggregation, shares",
        "aggregation, masked",
        "aggregation, agreement",
        "aggregation, revealed",
        "aggregation, after keys",
        "aggregation, after shares",
        "aggregation, after masked",
        "aggregation, after agreement",
        "aggregation, after revealed",
    ),
    "veilscore.keys.authority": ("certificate request", "private keys"),
    "veilscore.keys.certificates": ("certificate", "Flower key", "private keys"),
    "veilscore.keys.documents": (
        "registry",
        "registry that its signer made up",
        "party card",
        "welcome kit",
        "evidence",
        "opening file",
    ),
    "veilscore.keys.identity": ("registry that its signer made up", "private keys"),
    "veilscore.keys.keystore": (
        "keystore",
        "keystore with its checksum",
        "sealed file at rest",
        "passphrase file",
    ),
    "veilscore.keys.linkage": ("blinded set", "alignment at a holder"),
    "veilscore.keys.small_exponents": ("sets at the coordinator",),
    "veilscore.keys.masks": ("receiving key",),
    "veilscore.keys.paillier.fixed_width": ("fixed-width integers",),
    "veilscore.keys.paillier.modulus_proof": ("modulus proof",),
    "veilscore.keys.paillier.private": ("private keys",),
    "veilscore.keys.paillier.public": (
        "Paillier modulus",
        "ciphertexts",
        "own ciphertexts",
        "rows of a peer",
    ),
    "veilscore.keys.receiving": ("receiving key", "sealed part", "private keys"),
    "veilscore.keys.registry": ("registry that its signer made up",),
    "veilscore.keys.sealing": ("envelope", "envelope header"),
    "veilscore.keys.tlog.archive": ("export in a tar", "export in a folder"),
    "veilscore.keys.tlog.database": (
        "log file",
        "databases of a node",
        "keys of openings",
    ),
    "veilscore.keys.tlog.cosignature": (
        "cosigned checkpoint",
        "submission to a witness",
        "log policy",
    ),
    "veilscore.keys.tlog.evidence.contradiction": ("evidence that its finder made up",),
    "veilscore.keys.tlog.evidence.bundle": ("evidence bundle",),
    "veilscore.keys.tlog.evidence.steps": ("evidence bundle",),
    "veilscore.keys.tlog.recon.mark": ("databases of a node",),
    "veilscore.node.log.recon_state": ("databases of a node",),
    "veilscore.keys.tlog.evidence.event": (
        "evidence about an event",
        "evidence about an event that its finder made up",
    ),
    "veilscore.keys.tlog.evidence.opened": ("opening file",),
    "veilscore.keys.tlog.events": ("event", "event that its actor made up"),
    "veilscore.keys.tlog.export": ("log document",),
    "veilscore.keys.tlog.note": (
        "checkpoint",
        "cosigned checkpoint",
        "witness key",
        "checkpoint that the log made up",
        "verifier key",
        "proof file",
        "receipt",
        "consistency proof",
    ),
    "veilscore.keys.tlog.tiles": ("entry bundle", "tile path"),
    "veilscore.models.card_file": ("card", "card with its checksum"),
    "veilscore.models.horizontal.level_counts": ("sums of counts",),
    "veilscore.models.horizontal.rounds": ("sum of a round",),
    "veilscore.models.vertical.answers": (
        "default counts: count_answer",
        "default moments: moments",
        "polish polish-1: gradient",
        "exact polish-1: gradient",
    ),
    "veilscore.models.vertical.cross_shares": ("default cross: cross_shares",),
    "veilscore.models.vertical.label_holder": (
        "polish polish-1: predictor",
        "exact polish-1: predictor",
        "exact polish-2: predictor",
        "default calibrate: score_share",
        "default evaluate: score_share",
    ),
    "veilscore.node.batch": ("borrowers to score",),
    "veilscore.node.client_app": ("step through Flower",),
    "veilscore.node.hosting.form_file": ("form of a hosted card", "hosted card"),
    "veilscore.node.link_faults": ("refusal of the hub",),
    "veilscore.node.scoring.post": (
        "score message",
        "score answer",
        "hosted answer",
    ),
    "veilscore.node.scoring.query": ("score query", "hosted query", "entity id"),
    "veilscore.node.records.openings": ("databases of a node", "keys of openings"),
    "veilscore.node.shelf": ("model manifest",),
    "veilscore.node.sources.csv_file": (
        "table in CSV",
        "table in CSV, gb18030",
        "table in gzipped CSV",
        "applicants to score",
    ),
    "veilscore.node.sources.cells": ("cells of a database",),
    "veilscore.node.sources.database": ("table in SQLite",),
    "veilscore.node.sources.parquet_file": ("table in Parquet",),
    "veilscore.node.sources.settings": ("node.toml",),
    "veilscore.node.training.approvals": ("step request", "contract of a run"),
    "veilscore.node.training.desk": (
        "step request",
        "step request in a run",
        "contract of a run",
    ),
    "veilscore.node.training.session": ("step request in a run",),
    "veilscore.node.training.run_keys": (
        "message to a node",
        "default counts: encrypted_rows",
        "default counts: encrypted_rows, last part",
        "default counts: counts",
        "default cross: cross_order",
        "default cross: encrypted_rows",
        "default cross: encrypted_rows, last part",
        "default cross: rows_taken",
        "default cross: rows_taken, last part",
        "default counts: rows_taken",
        "default counts: rows_taken, last part",
        "default cross: cross_answer",
        "default solve: block",
        "default calibrate: slope",
        "polish polish-1: encrypted_rows",
        "polish polish-1: encrypted_rows, last part",
        "polish polish-1: rows_taken",
        "polish polish-1: rows_taken, last part",
        "polish polish-1: block",
    ),
    "veilscore.node.web.models": ("web of a node",),
    "veilscore.node.web.records": ("web of a node",),
    "veilscore.node.web.scores": ("web of a node",),
    "veilscore.runtime.flower.client_task": ("step through Flower",),
    "veilscore.runtime.flower.grid": ("reply through Flower",),
    "veilscore.runtime.audit.evidence": ("envelope",),
    "veilscore.runtime.audit.fetching": ("answer of a coordinator",),
    "veilscore.runtime.joining": ("fingerprint file",),
    "veilscore.runtime.rest_client": ("answer of a program",),
    "veilscore.runtime.session": ("frames to the hub", "frames to a node"),
    "veilscore.runtime.settings": (
        "node.toml",
        "coordinator.toml",
        "lab file",
        "contract.toml",
    ),
    "veilscore.runtime.web.sessions": ("web of a node", "web of the coordinator"),
    "veilscore.runtime.web.tokens": ("token file",),
}
_TYPED: Final = "what an operator types, refused by the command line"
_KEYSTORE: Final = "secrets out of a keystore, which nobody else can have sealed"
_LAB: Final = "a lab reads its own children and its operator's data; it protects nobody"
# Modules that decode nothing of others, and why that is so.
OWN: Final[Mapping[str, str]] = {
    "veilscore.coordinator.adding": "what its own aggregator has just signed",
    "veilscore.coordinator.commands": _TYPED,
    "veilscore.coordinator.folder": _KEYSTORE,
    "veilscore.coordinator.runs": "the coordinator's own events, out of its own log",
    "veilscore.coordinator.service": _KEYSTORE,
    "veilscore.coordinator.setup": _KEYSTORE,
    "veilscore.keys.paillier.comb": "random bytes of the operating system",
    "veilscore.lab.beginnings": _LAB,
    "veilscore.lab.comparison": _LAB,
    "veilscore.lab.dealing": _LAB,
    "veilscore.lab.enrolment": _LAB,
    "veilscore.lab.leaf_scan": _LAB,
    "veilscore.lab.plain": _LAB,
    "veilscore.lab.run": _LAB,
    "veilscore.lab.training": _LAB,
    "veilscore.models.horizontal.local_training": "a hash, as the seed of an order",
    "veilscore.models.noise": "random bytes of the operating system",
    "veilscore.node.entities": "hashes of ids",
    "veilscore.node.training.alignment": "points that it hashed its own ids to",
    "veilscore.node.commands": _TYPED,
    "veilscore.node.model_commands": _TYPED,
    "veilscore.node.records.consents": "what this node has sealed itself",
    "veilscore.node.records.desk": "what this node has sealed itself, and what its "
    "operator types",
    "veilscore.node.scoring.receiving_keys": _KEYSTORE,
    "veilscore.node.service": "settings that were checked, secrets out of a keystore, "
    "and headers that it drops if they cannot be read",
    "veilscore.node.sources.labels": "a hash of an id",
    "veilscore.runtime.audit.verifying": _TYPED,
    "veilscore.runtime.witness.service": _KEYSTORE,
    "veilscore.runtime.flower.server_task": "a run that the coordinator started, from "
    "its own SuperLink",
    "veilscore.runtime.flower.thin_app": "writes an archive and reads none",
}


def _called(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            whole = owner.id if isinstance(owner, ast.Name) else ""
            yield node.attr, node.lineno
            yield f"{whole}.{node.attr}", node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno


def _decoding_modules() -> dict[str, list[str]]:
    """Return the places that decode, by module."""
    found: dict[str, list[str]] = {}
    for source in _SOURCES:
        for path in sorted((_ROOT / source).rglob("veilscore/**/*.py")):
            if path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
                continue
            tree = ast.parse(path.read_bytes())
            places = [
                f"{path.relative_to(_ROOT)}:{line}: {name}"
                for name, line in _called(tree)
                if name in _DECODERS
            ]
            if places:
                module = path.relative_to(_ROOT / source).with_suffix("")
                found[".".join(module.parts)] = places
    return found


def test_every_decoder_lies_in_a_module_that_is_fuzzed() -> None:
    unlisted = {
        module: places
        for module, places in _decoding_modules().items()
        if module not in COVERED and module not in OWN
    }
    assert not unlisted, (
        "decodes, and no target is named for it: write one and add the module to "
        f"COVERED, or to OWN with the reason: {unlisted}"
    )


def test_the_map_names_modules_and_targets_that_there_are() -> None:
    assert all(importlib.util.find_spec(module) for module in (*COVERED, *OWN))
    assert not OWN.keys() - _decoding_modules().keys(), "no longer decode"
    assert not COVERED.keys() & OWN.keys()
    named = {name for names in COVERED.values() for name in names}
    assert named == TARGETS.keys()
