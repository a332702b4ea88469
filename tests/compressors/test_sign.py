import numpy as np
import pytest
from harness import compress, decode, encode, make
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors.wire.messages import MessageError


def test_flat_vectors_are_exact_and_one_hot_ones_the_worst():
    signs = np.random.default_rng(0).choice([-2.5, 2.5], (4, 28))
    np.testing.assert_allclose(compress(make("scaled_sign:wire=float64"), signs), signs, 1e-15)
    one = np.eye(4, 28)
    error = ((compress(make("scaled_sign:wire=float64"), one) - one) ** 2).sum(axis=1)
    np.testing.assert_allclose(error, 1 - make("scaled_sign").alpha, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(x=arrays(np.float64, (3, 11), elements=st.floats(-100, 100)))
def test_the_error_is_the_closed_form(x):
    compressor = make("scaled_sign:wire=float64", 11, local=3)
    error = ((compress(compressor, x) - x) ** 2).sum(axis=1)
    square = (x**2).sum(axis=1)
    expected = square - np.abs(x).sum(axis=1) ** 2 / 11
    np.testing.assert_allclose(error, expected, atol=1e-10 * square.max() + 1e-300)
    np.testing.assert_allclose(compressor.expected_error(x), expected, atol=1e-10 * square.max())


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
def test_a_message_is_a_number_and_a_bit_a_coordinate(d, wire):
    nbytes = np.dtype(wire).itemsize + -(-d // 8)
    assert make(f"scaled_sign:wire={wire}", d, local=1).nbytes == nbytes


def test_zero_coordinates_count_as_positive_and_zero_stays_zero():
    out = compress(make("scaled_sign", 4, local=2), np.array([[0.0, -4, 0, 4], [0, 0, 0, 0]]))
    assert out.tolist() == [[2, -2, 2, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_scales_that_no_encoder_writes_raise(scale):
    compressor = make("scaled_sign", 8, local=1)
    message = encode(compressor, np.ones((1, 8)))
    message[:, :4] = np.array([scale], np.float32).view(np.uint8)
    with pytest.raises(MessageError):
        decode(compressor, message, 8)
