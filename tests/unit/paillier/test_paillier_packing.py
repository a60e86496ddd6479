import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import PlaintextRangeError
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.packing import Slot, SlotLayout, shift_and_pack
from veilscore.keys.paillier.private import PrivateKey

quick = settings(max_examples=60, deadline=None)
slots = st.builds(Slot, st.integers(1, 90), st.booleans())


@st.composite
def filled_slots(draw: st.DrawFn) -> tuple[tuple[Slot, ...], list[int]]:
    chosen = tuple(draw(st.lists(slots, max_size=20)))
    values = [
        draw(st.integers(slot.lowest, slot.lowest + (1 << slot.bits) - 1))
        for slot in chosen
    ]
    return chosen, values


@quick
@given(filled=filled_slots())
def test_values_come_back(
    private: PrivateKey, filled: tuple[tuple[Slot, ...], list[int]]
) -> None:
    chosen, values = filled
    layout = SlotLayout(private.public, chosen)
    assert layout.unpack(layout.pack(values)) == values


@quick
@given(data=st.data())
def test_encrypted_packed_sums_equal_plain_sums(
    private: PrivateKey, owner: OwnerEncryptor, data: st.DataObject
) -> None:
    key = private.public
    layout = SlotLayout(key, (Slot(12, signed=False), Slot(40, signed=True)) * 3)
    row = st.tuples(st.integers(0, 1000), st.integers(-(1 << 36), 1 << 36))
    rows = [
        [value for pair in data.draw(st.tuples(row, row, row)) for value in pair]
        for _ in range(4)
    ]
    encrypted = owner.encrypt([layout.pack(values) for values in rows])
    total = encrypted[:1]
    for ciphertext in encrypted[1:]:
        total = key.add(total, [ciphertext])
    sums = [sum(column) for column in zip(*rows, strict=True)]
    assert layout.unpack(private.decrypt(total)[0]) == sums


@pytest.fixture(scope="module")
def owner(private: PrivateKey) -> OwnerEncryptor:
    return OwnerEncryptor(private)


@pytest.mark.parametrize("signed", [False, True])
def test_a_value_outside_its_slot_is_refused(
    private: PrivateKey, *, signed: bool
) -> None:
    slot = Slot(8, signed)
    layout = SlotLayout(private.public, (slot, slot))
    for value in (slot.lowest - 1, slot.lowest + 256):
        with pytest.raises(PlaintextRangeError) as caught:
            layout.pack([0, value])
        assert caught.value.place == "slot 1"
        assert str(value) not in caught.value.what


def test_a_filled_layout_leaves_its_guard_bits(private: PrivateKey) -> None:
    layout = SlotLayout.filled(private.public, Slot(32, signed=True))
    assert len(layout.slots) == (2048 - 64 - 2) // 32 == 61
    lowest = [-(1 << 31)] * 61
    assert layout.unpack(layout.pack(lowest)) == lowest
    assert layout.unpack(layout.pack([5])) == [5] + [0] * 60
    with pytest.raises(PlaintextRangeError, match="62 slots"):
        SlotLayout(private.public, (Slot(32, signed=True),) * 62)
    with pytest.raises(ValueError, match="62 values"):
        layout.pack([0] * 62)


@quick
@given(data=st.data())
def test_anything_above_the_last_slot_is_noticed(
    private: PrivateKey, data: st.DataObject
) -> None:
    key = private.public
    layout = SlotLayout.filled(key, Slot(32, signed=data.draw(st.booleans())))
    bits = 61 * 32
    addend = data.draw(st.integers(1, (1 << 2046 - bits) - 1)) << bits
    tampered = layout.pack([7] * 61) + data.draw(st.sampled_from([1, -1])) * addend
    with pytest.raises(PlaintextRangeError, match="guard bits"):
        layout.unpack(tampered % key.n)


def test_a_mask_that_does_not_cancel_is_noticed(private: PrivateKey) -> None:
    key = private.public
    layout = SlotLayout.filled(key, Slot(32, signed=True))
    mask = key.n // 3
    with pytest.raises(PlaintextRangeError, match="guard bits"):
        layout.unpack((layout.pack([1, 2, 3]) + mask) % key.n)
    overflow = [layout.pack([0] * 60 + [(1 << 31) - 1])] * 2
    with pytest.raises(PlaintextRangeError, match="guard bits"):
        layout.unpack(sum(overflow) % key.n)


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.integers(-(1 << 39), (1 << 39) - 1), max_size=6))
def test_ciphertexts_are_packed_in_order(
    private: PrivateKey, owner: OwnerEncryptor, values: list[int]
) -> None:
    key = private.public
    layout = SlotLayout(key, (Slot(40, signed=True),) * len(values))
    ciphertexts = owner.encrypt([key.to_residue(value) for value in values])
    packed = shift_and_pack(key, ciphertexts, 40)
    assert layout.unpack(private.decrypt([packed])[0]) == values
