import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.compressors.wire.trits import Trits


def there_and_back(packer, values):
    packer.prepare(len(values))
    packed = np.full((len(values), packer.nbytes), 170, np.uint8)
    packer.pack(values, packed)
    back = np.full(values.shape, 99, packer.dtype)
    packer.unpack(packed, back)
    return packed, back


@pytest.mark.parametrize(("values", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (112, 7)])
def test_bits_for_is_the_logarithm_rounded_up(values, bits):
    assert bits_for(values) == bits


@settings(max_examples=300, deadline=None)
@given(data=st.data(), width=st.integers(0, 40), count=st.integers(1, 40), rows=st.integers(1, 3))
def test_fields_of_any_width_come_back(data, width, count, rows):
    fields = BitFields(count, width)
    number = st.integers(0, 2**width - 1)
    values = data.draw(st.lists(number, min_size=rows * count, max_size=rows * count))
    values = np.array(values, fields.dtype).reshape(rows, count)
    packed, back = there_and_back(fields, values)
    np.testing.assert_array_equal(back, values)
    assert packed.shape[1] == -(-count * width // 8)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), count=st.integers(1, 40), rows=st.integers(1, 3))
def test_trits_come_back(data, count, rows):
    values = data.draw(
        st.lists(st.integers(0, 2), min_size=rows * count, max_size=rows * count).map(np.array)
    )
    values = values.astype(np.uint8).reshape(rows, count)
    packed, back = there_and_back(Trits(count), values)
    np.testing.assert_array_equal(back, values)
    assert packed.shape[1] == -(-count // 5) and packed.max() < 243


def test_fields_may_lie_within_longer_rows():
    fields = BitFields(7, 9)
    fields.prepare(2)
    values = np.arange(14, dtype=np.uint16).reshape(2, 7) * 31
    longer, back = np.zeros((2, 20), np.uint8), np.zeros((2, 7), np.uint16)
    fields.pack(values, longer[:, 3 : 3 + fields.nbytes])
    assert not longer[:, :3].any() and not longer[:, 3 + fields.nbytes :].any()
    fields.unpack(longer[:, 3 : 3 + fields.nbytes], back)
    np.testing.assert_array_equal(back, values)


def test_wrong_lengths_and_bytes_above_five_trits_raise():
    for packer in (BitFields(9, 3), Trits(9)):
        packer.prepare(1)
        with pytest.raises(MessageError):
            packer.unpack(np.zeros((1, packer.nbytes + 1), np.uint8), np.zeros((1, 9), np.uint8))
    with pytest.raises(MessageError):
        packer.unpack(np.full((1, 2), 243, np.uint8), np.zeros((1, 9), np.uint8))


def test_numbers_are_held_in_the_smallest_type_of_their_width():
    for width, size in ((1, 1), (8, 1), (9, 2), (16, 2), (17, 4)):
        assert BitFields(3, width).dtype == np.dtype(f"u{size}")


@pytest.mark.parametrize("width", [1, 7, 8, 9, 17, 30])
def test_a_single_number_is_sent_as_its_own_bytes_and_bits_beyond_it_are_not_read(width):
    value = (1 << width) - 2
    fields, size = BitFields(1, width), -(-width // 8)
    packed, _ = there_and_back(fields, np.array([[value]], fields.dtype))
    assert packed.tobytes() == value.to_bytes(size, "little")
    back = np.zeros((1, 1), fields.dtype)
    fields.unpack(np.full((1, size), 255, np.uint8), back)
    assert back[0, 0] == (1 << width) - 1
