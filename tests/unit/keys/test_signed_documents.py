"""The strict reader of signed JSON files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.documents import Fields, open_document, sign_document
from veilscore.keys.errors import KeysError, RegistryError, SignatureError
from veilscore.keys.identity import Signer

SIGNER = Signer.generate()
PIN = SIGNER.verify_key.fingerprint
DOMAIN = b"test/1\0"
BODY: dict[str, object] = {
    "name": "bank",
    "size": 7,
    "list": ["a", "银行"],
    "map": {"k": "v"},
}
FILE = sign_document(BODY, DOMAIN, SIGNER)


def read(data: bytes) -> tuple[str, int, list[str], dict[str, str]]:
    fields, _ = open_document(data, DOMAIN, "test file", PIN)
    found = (
        fields.text("name"),
        fields.number("size"),
        fields.texts("list"),
        fields.mapping("map"),
    )
    fields.end()
    return found


VALUE = read(FILE)


def test_document_is_read_back() -> None:
    assert VALUE == ("bank", 7, ["a", "银行"], {"k": "v"})


def test_layout_may_change_but_not_meaning() -> None:
    assert read(FILE.replace(b"\n", b"\r\n")) == VALUE
    assert read(json.dumps(json.loads(FILE), ensure_ascii=False).encode()) == VALUE


@settings(deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_one_changed_byte_never_changes_what_is_read(place: int, change: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= change
    try:
        found = read(bytes(changed))
    except KeysError:
        return
    assert found == VALUE


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryError, match="test file"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"[]",
        b"7",
        b'{"a": 1, "a": 1}',
        b"{}",
        b"9" * 5000,
        b" " * (5 << 20),
    ],
)
def test_other_json_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryError):
        read(data)


def test_other_signer_is_refused_with_its_fingerprint() -> None:
    other = Signer.generate()
    with pytest.raises(RegistryError) as caught:
        open_document(sign_document({}, DOMAIN, other), DOMAIN, "test file", PIN)
    assert other.verify_key.fingerprint.hex() in caught.value.what
    assert "fingerprint" in caught.value.remedy


def test_other_kind_of_document_is_refused() -> None:
    with pytest.raises(SignatureError):
        open_document(FILE, b"other/1\0", "test file", PIN)


def test_other_format_is_refused() -> None:
    with pytest.raises(RegistryError, match="format 1"):
        read(FILE.replace(b'"format": 1', b'"format": 2'))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 7),
        ("name", None),
        ("name", "\ud800"),
        ("size", True),
        ("size", 7.0),
        ("size", "7"),
        ("list", "ab"),
        ("list", [1]),
        ("map", {"k": 1}),
        ("map", {"\ud800": "v"}),
        ("map", []),
    ],
)
def test_field_of_another_type_is_refused(name: str, value: object) -> None:
    body = {**BODY, name: value}
    with pytest.raises(RegistryError, match=name):
        read(sign_document(body, DOMAIN, SIGNER))


def test_missing_and_unknown_fields_are_named() -> None:
    with pytest.raises(RegistryError, match="'size' is missing"):
        read(sign_document({"name": "bank"}, DOMAIN, SIGNER))
    with pytest.raises(RegistryError, match="'extra' is an unknown field"):
        read(sign_document({**BODY, "extra": 1}, DOMAIN, SIGNER))


@pytest.mark.parametrize("text", ["", "0", "zz", "00ff00", "00FF", "00 ff"])
def test_octets_are_lower_case_hexadecimal_of_one_length(text: str) -> None:
    with pytest.raises(RegistryError, match="hexadecimal"):
        Fields({"key": text}, "test").octets("key", 2)


def test_octets_are_read() -> None:
    assert Fields({"key": "00ff"}, "test").octets("key", 2) == b"\0\xff"
