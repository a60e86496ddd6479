"""Cosignatures: their layout, and what is refused."""

import base64
import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.keys.errors import InvalidKeyError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.cosignature import WitnessKey, cosign, cosigned_at
from veilscore.keys.tlog.note import NoteKey, open_note, text_of

LOG, WITNESS = Signer.generate(), Signer.generate()
NAME = "witness.example/w1"
KEY = WitnessKey(NAME, WITNESS.verify_key)
NOTE = sign_checkpoint(Checkpoint("hub.example/log", 2, bytes(32)), LOG)
LINE = cosign(text_of(NOTE), NAME, WITNESS, 1_679_315_147)


def test_a_cosignature_has_the_layout_of_the_specification() -> None:
    name, encoded = LINE.removeprefix("— ").removesuffix("\n").split(" ")
    assert name == NAME
    data = base64.b64decode(encoded)
    hashed = NAME.encode() + b"\n\x04" + WITNESS.verify_key.raw
    assert data[:4] == hashlib.sha256(hashed).digest()[:4]
    assert struct.unpack(">Q", data[4:12]) == (1_679_315_147,)
    message = b"cosignature/v1\ntime 1679315147\n" + text_of(NOTE).encode()
    WITNESS.verify_key.verify(data[12:], b"", message)
    assert len(data) == 4 + 8 + 64


def test_the_specifications_example_is_read() -> None:
    # The note of C2SP tlog-cosignature; its keys are not published.
    note = (
        "example.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe"
        "4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWX"
        "EhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    assert cosigned_at(note, KEY) is None
    assert text_of(note).count("\n") == 3


def test_both_signatures_of_a_note_are_found() -> None:
    note = NOTE + LINE
    assert cosigned_at(note, KEY) == 1_679_315_147
    assert cosigned_at(NOTE, KEY) is None
    log = NoteKey("hub.example/log", LOG.verify_key)
    assert open_note(note, log) == open_note(NOTE, log) == open_note(note, KEY)
    later = cosign(text_of(NOTE), NAME, WITNESS, 1_679_315_999)
    assert cosigned_at(later.join([NOTE, LINE]), KEY) == 1_679_315_999


def test_keys_of_logs_and_witnesses_are_not_exchanged() -> None:
    assert WitnessKey.parse(KEY.vkey) == KEY
    with pytest.raises(InvalidKeyError, match="of a log"):
        NoteKey.parse(KEY.vkey)
    log = NoteKey(NAME, WITNESS.verify_key)
    with pytest.raises(InvalidKeyError, match="of a witness"):
        WitnessKey.parse(log.vkey)
    # Not even under one name and key: the two kinds sign different messages.
    with pytest.raises(ProofError, match="not signed by"):
        open_note(NOTE + LINE, log)


def test_the_time_is_signed() -> None:
    data = bytearray(base64.b64decode(LINE.split(" ")[2]))
    data[11] ^= 1
    moved = f"— {NAME} {base64.b64encode(data).decode()}\n"
    with pytest.raises(ProofError, match="does not verify"):
        cosigned_at(NOTE + moved, KEY)
    data[4] = 0x80  # beyond 2**63
    moved = f"— {NAME} {base64.b64encode(data).decode()}\n"
    with pytest.raises(ProofError, match="does not verify"):
        cosigned_at(NOTE + moved, KEY)


@given(st.data())
def test_one_changed_byte_makes_it_none(data: st.DataObject) -> None:
    note = bytearray((NOTE + LINE).encode())
    at = data.draw(st.integers(0, len(note) - 1))
    note[at] ^= data.draw(st.integers(1, 255))
    text = note.decode(errors="surrogateescape")
    try:
        found = cosigned_at(text, KEY)
    except ProofError:
        return
    # Only in the log's own line, which is not this key's business, or in the witness's
    # name: then the line is a stranger's.
    assert found is None or text_of(text) == text_of(NOTE)
