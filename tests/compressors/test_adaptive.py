import numpy as np
import pytest
from harness import compress, decode, encode, make
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spectra import SHAPES, D, hostile, power_law, relative_errors, square

from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError


class TestAdaptive:
    def lengths(self, compressor, x):
        return encode(compressor, x)[:, :4].view(LENGTH)[:, 0].tolist()

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.3, 0.6, 0.95])
    def test_sends_the_least_rank_that_leaves_epsilon(self, epsilon, shape):
        m, c = shape
        x = np.array([*hostile(m, c).values(), np.zeros(D)])
        compressor = make(f"adaptive:epsilon={epsilon},wire=float64", shape, local=len(x))
        errors = square(compress(compressor, x) - x)
        for row, error, length in zip(x, errors, self.lengths(compressor, x), strict=True):
            squares = np.linalg.svd(row.reshape(shape), compute_uv=False) ** 2
            kept = np.r_[0, np.cumsum(squares)]
            r = int(np.argmax(kept >= (1 - epsilon) * squares.sum() * (1 - 1e-12)))
            whole = r * (m + c) >= m * c
            assert length == 4 + 8 * (m * c if whole else r * (m + c))
            assert error == pytest.approx(0 if whole else squares[r:].sum(), rel=1e-12, abs=1e-20)
            assert error <= epsilon * square(row) * (1 + 1e-12)
            assert length <= compressor.nbytes
        assert self.lengths(compressor, x)[-1] == 4

    @pytest.mark.parametrize("wire", ["float32", "float64"])
    @pytest.mark.parametrize(
        ("block", "epsilon", "numbers"),
        [
            ((1,), 0.5, 1),
            ((7,), 0.5, 6),
            ((112,), 0.5, 4 * 22),
            ((112,), 0.3, 112),
            ((14, 8), 0.01, 112),
            ((113,), 0.01, 120),
            ((20, 20), 0.7, 6 * 40),
            ((10**6 + 3,), 0.99, 10 * 2001),
        ],
    )
    def test_the_longest_message_has_the_highest_rank_or_the_whole_matrix(
        self, block, epsilon, numbers, wire
    ):
        compressor = make(f"adaptive:epsilon={epsilon},wire={wire}", block, local=0)
        assert compressor.nbytes == 4 + numbers * np.dtype(wire).itemsize
        assert compressor.published_bits == 8 * numbers * np.dtype(wire).itemsize

    def test_a_whole_matrix_comes_back_to_the_bit(self):
        for shape in (*SHAPES, (6, 6)):
            x = np.random.default_rng(1).standard_normal((4, shape[0] * shape[1]))
            compressor = make("adaptive:epsilon=0.001,wire=float64", shape)
            np.testing.assert_array_equal(compress(compressor, x), x)

    def test_alpha_is_that_of_rank_one_where_epsilon_is_larger(self):
        assert make("adaptive:epsilon=0.95", (8, 14)).alpha == 1 / 8
        assert make("adaptive:epsilon=0.3", (8, 14)).alpha == 0.7
        assert relative_errors("adaptive:epsilon=0.95", np.eye(8, 14).reshape(-1), (8, 14)) == (
            pytest.approx(7 / 8)
        )

    def test_a_rank_that_leaves_epsilon_exactly_is_enough(self):
        x = np.diag([2.0, 1, 1, 1, 1]).reshape(1, -1)
        compressor = make("adaptive:epsilon=0.5", (5, 5), local=1)
        assert self.lengths(compressor, x) == [4 + 4 * 10]

    def test_lengths_that_no_message_has_raise(self):
        compressor = make("adaptive:epsilon=0.3,wire=float64", (8, 14), local=1)
        message = encode(compressor, power_law(8, 14)[np.newaxis])
        for length in (0, 3, 5, 4 + 8, 4 + 8 * 22 - 1, 4 + 8 * 110 + 1, 4 + 8 * 112 + 1):
            message[:, :4].view(LENGTH)[:] = length
            with pytest.raises(MessageError):
                compressor.decode(message, np.empty((1, D)))
        with pytest.raises(MessageError):
            decode(compressor, message[:, :-1], D)
        limited = make("adaptive:epsilon=0.9,wire=float64", (8, 14), local=1)
        message = np.zeros((1, 4 + 8 * D), np.uint8)
        message[:, :4].view(LENGTH)[:] = 4 + 8 * D
        with pytest.raises(MessageError):
            limited.decode(message, np.empty((1, D)))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_bytes_behind_a_message_s_length_are_not_read(self, shape, rows):
        compressor = make("adaptive:epsilon=0.6+natural", shape)
        messages = encode(compressor, rows)
        clean = decode(compressor, messages, D)
        for message, length in zip(messages, self.lengths(compressor, rows), strict=True):
            assert length < compressor.nbytes
            message[length:] = 255
        np.testing.assert_array_equal(decode(compressor, messages, D), clean)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_factors_and_whole_matrices_travel_in_another_compressor_s_messages(self, shape):
        m, c = shape
        compressor = make("adaptive:epsilon=0.05+natural", shape)
        x = np.array([power_law(m, c), np.ones(D), np.eye(m, c).reshape(-1), np.zeros(D)])
        pair, whole = -(-9 * m // 8) + -(-9 * c // 8), 8 * -(-9 * 14 // 8)
        assert self.lengths(compressor, x) == [4 + 5 * pair, 4 + pair, 4 + whole, 4]
        assert compressor.nbytes == 4 + whole
        assert compressor.alpha == pytest.approx(0.95 * 64 / 81)

    @settings(max_examples=60, deadline=None)
    @given(
        x=arrays(np.float64, (3, 12), elements=st.integers(-3, 3).map(float)),
        epsilon=st.sampled_from([0.01, 0.2, 0.5, 0.9]),
        shape=st.sampled_from([(3, 4), (4, 3), (2, 6), (1, 12)]),
    )
    def test_leaves_epsilon_at_most(self, x, epsilon, shape):
        compressor = make(f"adaptive:epsilon={epsilon},wire=float64", shape, local=3)
        assert (square(compress(compressor, x) - x) <= epsilon * square(x) + 1e-24).all()
