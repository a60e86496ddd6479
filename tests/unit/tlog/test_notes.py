"""Signed notes, checkpoints and proof files: what is read, what is refused."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.keys.errors import InvalidKeyError, ProofError
from veilscore.keys.identity import EVENT_DOMAIN, Signer
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from veilscore.keys.tlog.note import NoteKey, open_note, sign_note
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import leaf_hash, node_hash

SIGNER = Signer.generate()
KEY = NoteKey("hub.example/log", SIGNER.verify_key)
LEAF, SIBLING = b"a leaf", leaf_hash(b"another")
ROOT = node_hash(leaf_hash(LEAF), SIBLING)
CHECKPOINT = Checkpoint(KEY.name, 2, ROOT)
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)
PROOF = TlogProof(0, (SIBLING,), NOTE)


def test_a_note_has_the_layout_of_the_specification() -> None:
    body, blank, line = NOTE.rpartition("\n\n")
    assert body == f"hub.example/log\n2\n{base64.b64encode(ROOT).decode()}"
    assert blank
    name, signature = line.removeprefix("— ").removesuffix("\n").split(" ")
    assert name == KEY.name
    hashed = b"hub.example/log\n\x01" + SIGNER.verify_key.raw
    assert base64.b64decode(signature)[:4] == hashlib.sha256(hashed).digest()[:4]
    assert len(base64.b64decode(signature)) == 4 + 64


def test_a_note_made_by_gos_sumdb_code_is_read() -> None:
    # The example in the documentation of golang.org/x/mod/sumdb/note.
    key = NoteKey.parse(
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    note = (
        f"{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1"
        "FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(note, key) == text


def test_a_verifier_key_is_read_as_it_is_written() -> None:
    assert NoteKey.parse(KEY.vkey) == KEY


@given(st.integers(0), st.integers(1, 127))
def test_a_changed_verifier_key_is_refused_or_of_another_name(
    at: int, change: int
) -> None:
    vkey = bytearray(KEY.vkey.encode())
    vkey[at % len(vkey)] ^= change
    with pytest.raises((InvalidKeyError, UnicodeDecodeError)):
        NoteKey.parse(vkey.decode())


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x9bb"])
def test_a_log_cannot_have_a_name_that_breaks_a_line(name: str) -> None:
    with pytest.raises(InvalidKeyError):
        NoteKey(name, SIGNER.verify_key)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_of_a_checkpoint_is_rejected(at: int, change: int) -> None:
    note = bytearray(NOTE.encode())
    note[at % len(note)] ^= change
    text = note.decode("utf-8", "surrogateescape")
    with pytest.raises(ProofError):
        open_checkpoint(text, KEY)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_of_a_proof_file_is_rejected(at: int, change: int) -> None:
    proof = bytearray(PROOF.text.encode())
    proof[at % len(proof)] ^= change
    text = proof.decode("utf-8", "surrogateescape")
    with pytest.raises(ProofError):
        TlogProof.parse(text).verify(LEAF, KEY)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_of_a_leaf_is_rejected(at: int, change: int) -> None:
    leaf = bytearray(LEAF)
    leaf[at % len(leaf)] ^= change
    with pytest.raises(ProofError, match="entry 0 is not in the tree"):
        PROOF.verify(bytes(leaf), KEY)


def test_a_proof_file_is_read_as_it_is_written() -> None:
    lines = PROOF.text.split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 0"]
    assert TlogProof.parse(PROOF.text) == PROOF
    assert PROOF.verify(LEAF, KEY) == CHECKPOINT


def test_extra_data_of_a_proof_file_is_skipped() -> None:
    head, rest = PROOF.text.split("\n", 1)
    assert TlogProof.parse(f"{head}\nextra AAEC\n{rest}") == PROOF
    with pytest.raises(ProofError):
        TlogProof.parse(f"{head}\nextra not base64\n{rest}")


def test_a_proof_of_more_than_63_hashes_is_refused() -> None:
    with pytest.raises(ProofError, match="too long"):
        TlogProof.parse(TlogProof(0, (SIBLING,) * 64, NOTE).text)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    for parse in (
        lambda: open_note(text, KEY),
        lambda: open_checkpoint(text, KEY),
        lambda: TlogProof.parse(text).verify(LEAF, KEY),
    ):
        with pytest.raises(ProofError):
            parse()


def test_signatures_of_others_are_ignored() -> None:
    witness = sign_note(CHECKPOINT.text, "witness.example", Signer.generate())
    line = witness.rpartition("\n\n")[2]
    assert open_checkpoint(NOTE + line * 16, KEY) == CHECKPOINT
    with pytest.raises(ProofError, match="not signed by hub"):
        open_checkpoint(witness, KEY)
    with pytest.raises(ProofError, match="too many"):
        open_checkpoint(NOTE + line * 64, KEY)


def test_one_bad_signature_of_the_log_spoils_a_note() -> None:
    other = sign_checkpoint(Checkpoint(KEY.name, 3, ROOT), SIGNER)
    with pytest.raises(ProofError, match="does not verify"):
        open_checkpoint(NOTE + other.rpartition("\n\n")[2], KEY)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    text = Checkpoint("other.example/log", 2, ROOT).text
    with pytest.raises(ProofError, match="of the log 'other"):
        open_checkpoint(sign_note(text, KEY.name, SIGNER), KEY)


@pytest.mark.parametrize(
    "text",
    [
        "hub.example/log\n2\n",
        "hub.example/log\n02\n" + "A" * 43 + "=\n",
        "hub.example/log\n-2\n" + "A" * 43 + "=\n",
        "hub.example/log\n\u0662\n" + "A" * 43 + "=\n",
        "hub.example/log\n99999999999999999999\n" + "A" * 43 + "=\n",
        "hub.example/log\n2\nAAAA\n",
        "hub.example/log\n2\n" + "A" * 42 + "B=\n",
        "hub.example/log\n2\n" + "A" * 43 + "=\n\nextension\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        open_checkpoint(sign_note(text, KEY.name, SIGNER), KEY)


def test_extension_lines_are_ignored() -> None:
    note = sign_note(CHECKPOINT.text + "an extension\n", KEY.name, SIGNER)
    assert open_checkpoint(note, KEY) == CHECKPOINT


def test_a_signed_event_body_never_passes_for_a_note() -> None:
    body = CHECKPOINT.text.encode()
    signature = KEY.key_hash + SIGNER.sign(EVENT_DOMAIN, body)
    line = f"— {KEY.name} {base64.b64encode(signature).decode()}\n"
    with pytest.raises(ProofError, match="does not verify"):
        open_checkpoint(f"{CHECKPOINT.text}\n{line}", KEY)
