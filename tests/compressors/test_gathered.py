import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors import base, compressors
from mpi_lowrank.compressors.composed.blocks import compress_blocks
from mpi_lowrank.compressors.wire.messages import MessageError, message_lengths
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.randomness import Purpose, Stream

SPECS = [
    ("identity", {}),
    ("topk", {"k": 3}),
    ("randk", {"k": 3}),
    ("randk", {"k": 3, "scale": "unbiased"}),
    ("svd", {"rank": 2}),
    ("svd", {"rank": 1, "shape": (5, 6)}),
    ("rsvd", {"rank": 1, "oversampling": 1, "power_iterations": 1}),
]
D = 28


def make(name, options, d=D, dtype="float64", local=4, total=4):
    compressor = compressors[name]((d,), np.dtype(dtype), **options)
    compressor.prepare(local, total)
    return compressor


def generators(workers, round=0, seed=0):
    return [Stream(seed, Purpose.COMPRESS, worker).at(round) for worker in workers]


def encode(compressor, x, round=0, seed=0, first=0):
    messages = np.zeros((len(x), compressor.nbytes), np.uint8)
    workers = range(first, first + len(x))
    compressor.encode(x, messages, generators(workers, round, seed))
    return messages


def decode(compressor, messages, d=D, dtype="float64"):
    out = np.full((len(messages), d), np.nan, dtype)
    compressor.decode(messages, out)
    return out


def compress(compressor, x, **key):
    return decode(compressor, encode(compressor, x, **key), x.shape[1], x.dtype)


def relative_error(compressor, x, **key):
    return ((compress(compressor, x, **key) - x) ** 2).sum(axis=1) / (x**2).sum(axis=1)


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((4, D))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), SPECS)
def test_a_worker_s_bits_do_not_depend_on_who_is_beside_it(name, options, dtype, rows):
    rows = rows.astype(dtype)
    together = compress(make(name, options, dtype=dtype), rows)
    alone = [
        compress(make(name, options, dtype=dtype, local=1), rows[w : w + 1], first=w)[0]
        for w in range(4)
    ]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_decode_sum_is_the_weighted_sum_of_the_decodes(name, options, rows):
    compressor = make(name, options)
    messages = encode(compressor, rows)
    total, weights = np.full(D, np.nan), np.array([0.25, 0.5, 0.0, 2.0])
    compressor.decode_sum(messages, weights, total)
    expected = weights @ decode(compressor, messages)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("together", [1, 30, 2**15])
@pytest.mark.parametrize("d", [1, 7])
def test_messages_are_added_one_after_the_other_however_many_are_decoded_together(
    monkeypatch, d, together
):
    monkeypatch.setattr(base, "TOGETHER", together)
    random, n = np.random.default_rng(3), 50
    x = random.standard_normal((n, d)) * 10.0 ** random.integers(-8, 8, (n, 1))
    weights, expected, total = random.random(n), np.zeros(d), np.full(d, np.nan)
    compressor = make("natural", {}, d=d, local=n, total=n)
    messages = encode(compressor, x)
    for row, weight in zip(decode(compressor, messages, d), weights, strict=True):
        expected += row * weight
    compressor.decode_sum(messages, weights, total)
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_same_seed_round_and_worker_give_the_same_message_and_others_another(name, options, rows):
    compressor = make(name, options)
    first = encode(compressor, rows, round=5)
    np.testing.assert_array_equal(first, encode(compressor, rows, round=5))
    for other in ({"round": 6}, {"round": 5, "seed": 1}):
        same = np.array_equal(first, encode(compressor, rows, **other))
        assert same != compressor.random


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_zero_compresses_to_zero(name, options):
    assert not compress(make(name, options), np.zeros((4, D))).any()


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "index_bits"), [(1, 0), (7, 3), (112, 7), (256, 8), (257, 9), (65537, 17)]
)
def test_sparse_messages_cost_k_values_and_k_indices_without_gaps(d, index_bits, wire):
    k = min(d, 7)
    for name in ("topk", "randk"):
        compressor = make(name, {"k": k, "wire": wire}, d=d)
        assert compressor.nbytes == k * np.dtype(wire).itemsize + -(-k * index_bits // 8)


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "shape", "expected"),
    [
        (112, "auto", (8, 14)),
        (300, "auto", (15, 20)),
        (113, "auto", (10, 12)),
        (68, "auto", (8, 9)),
        (1, "auto", (1, 1)),
        (112, (7, 16), (7, 16)),
        (112, (10, 12), (10, 12)),
    ],
)
def test_low_rank_messages_cost_r_times_m_plus_c_numbers(d, shape, expected, wire):
    for name in ("svd", "rsvd"):
        compressor = make(name, {"rank": 1, "shape": shape, "wire": wire}, d=d)
        assert (compressor.m, compressor.c) == expected
        assert compressor.nbytes == sum(expected) * np.dtype(wire).itemsize


def test_dense_messages_cost_d_numbers():
    assert make("identity", {}).nbytes == 4 * D
    assert make("identity", {"wire": "float64"}).nbytes == 8 * D


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("topk", {"k": 0}, "k"),
        ("topk", {"k": D + 1}, "k"),
        ("svd", {"rank": 0}, "rank"),
        ("svd", {"rank": 5}, "rank"),
        ("svd", {"shape": (3, 9)}, "shape"),
        ("rsvd", {"oversampling": -1}, "oversampling"),
        ("rsvd", {"power_iterations": -1}, "power_iterations"),
    ],
)
def test_impossible_options_name_themselves(name, options, option):
    with pytest.raises(OptionError) as caught:
        make(name, options)
    assert caught.value.option == option


class TestTopK:
    def test_keeps_the_largest_magnitudes(self):
        x = np.array([[1.0, -5.0, 3.0, -2.0, 4.0]])
        assert compress(make("topk", {"k": 2}, d=5), x).tolist() == [[0, -5, 0, 0, 4]]

    def test_of_equal_magnitudes_keeps_the_lowest_indices_in_every_row(self):
        x = np.array([[2.0, -1, 1, 1, -2, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1.0]])
        kept = compress(make("topk", {"k": 3}, d=6, local=3), x)
        assert kept.tolist() == [[2, -1, 0, 0, -2, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 0, 0, 0]]

    def test_error_on_a_flat_vector_is_exactly_one_minus_alpha(self):
        compressor = make("topk", {"k": 7, "wire": "float64"})
        assert relative_error(compressor, np.ones((1, D)))[0] == 1 - 7 / D == 1 - compressor.alpha

    @settings(max_examples=200, deadline=None)
    @given(
        x=arrays(np.float64, (3, 9), elements=st.integers(-5, 5).map(float)),
        k=st.integers(1, 9),
    )
    def test_equals_a_stable_sort(self, x, k):
        kept = compress(make("topk", {"k": k, "wire": "float64"}, d=9, local=3), x)
        for row, out in zip(x, kept, strict=True):
            order = np.argsort(-np.abs(row), kind="stable")[:k]
            expected = np.zeros(9)
            expected[order] = row[order]
            np.testing.assert_array_equal(out, expected)


class TestRandK:
    ROUNDS = 4000

    def errors(self, compressor, x):
        return np.array(
            [((compress(compressor, x, round=t) - x) ** 2).sum() for t in range(self.ROUNDS)]
        )

    def within(self, samples, expected, sigmas=4.5):
        bound = sigmas * samples.std() / np.sqrt(len(samples))
        assert abs(samples.mean() - expected) <= bound

    def test_contractive_error_is_one_minus_k_over_d_for_every_x(self):
        x = np.arange(1.0, D + 1)[np.newaxis]
        compressor = make("randk", {"k": 7, "wire": "float64"}, local=1)
        self.within(self.errors(compressor, x), (1 - 7 / D) * (x**2).sum())

    def test_unbiased_variance_is_d_over_k_minus_one_for_every_x(self):
        x = np.arange(1.0, D + 1)[np.newaxis]
        options = {"k": 7, "scale": "unbiased", "wire": "float64"}
        compressor = make("randk", options, local=1)
        assert compressor.omega == D / 7 - 1 and compressor.alpha is None
        self.within(self.errors(compressor, x), (D / 7 - 1) * (x**2).sum())

    def test_unbiased_mean_is_x(self):
        x = np.arange(1.0, D + 1)[np.newaxis]
        compressor = make("randk", {"k": 7, "scale": "unbiased"}, local=1)
        draws = np.array([compress(compressor, x, round=t)[0] for t in range(self.ROUNDS)])
        bound = 4.5 * draws.std(axis=0) / np.sqrt(self.ROUNDS)
        assert (np.abs(draws.mean(axis=0) - x[0]) <= bound).all()


class TestLowRank:
    def spectrum(self, x, shape=(4, 7)):
        return np.linalg.svd(x.reshape(-1, *shape), compute_uv=False)

    def test_svd_error_is_the_tail_of_the_spectrum(self, rows):
        compressor = make("svd", {"rank": 2, "wire": "float64"})
        error = ((compress(compressor, rows) - rows) ** 2).sum(axis=1)
        np.testing.assert_allclose(error, (self.spectrum(rows)[:, 2:] ** 2).sum(axis=1), rtol=1e-12)

    def test_svd_error_on_a_flat_spectrum_is_exactly_one_minus_alpha(self):
        flat = np.eye(4, 7).reshape(1, -1)
        compressor = make("svd", {"rank": 1, "wire": "float64"})
        assert relative_error(compressor, flat)[0] == pytest.approx(1 - compressor.alpha, abs=1e-15)

    def test_randomized_svd_is_exact_on_matrices_of_its_rank(self):
        rng = np.random.default_rng(1)
        x = (rng.standard_normal((4, 4, 2)) @ rng.standard_normal((4, 2, 7))).reshape(4, -1)
        compressor = make("rsvd", {"rank": 2, "oversampling": 1, "wire": "float64"})
        np.testing.assert_allclose(compress(compressor, x), x, atol=1e-13)

    def test_randomized_svd_meets_its_contraction_on_average_over_the_flat_spectrum(self):
        flat = np.eye(4, 7).reshape(1, -1)
        compressor = make("rsvd", {"rank": 1, "oversampling": 1, "wire": "float64"})
        errors = np.array([relative_error(compressor, flat, round=t)[0] for t in range(500)])
        assert errors.mean() <= 1 - compressor.alpha + 4.5 * errors.std() / np.sqrt(500) + 1e-12

    def test_power_iterations_reach_the_best_rank(self):
        u, v = (np.linalg.qr(np.random.default_rng(s).standard_normal((20, 20)))[0] for s in (1, 2))
        x = (u * 0.5 ** np.arange(20) @ v.T).reshape(1, -1)
        best = (0.25 ** np.arange(3, 20)).sum() / (0.25 ** np.arange(20)).sum()
        errors = [
            relative_error(
                make(
                    "rsvd",
                    {"rank": 3, "oversampling": 2, "power_iterations": q, "wire": "float64"},
                    d=400,
                    local=1,
                ),
                x,
            )[0]
            for q in (0, 1, 3)
        ]
        assert errors[0] > errors[1] > errors[2] > best
        assert errors[2] == pytest.approx(best, rel=1e-4)

    def test_padding_is_cut_off_and_comes_back_as_zero(self):
        x = np.random.default_rng(0).standard_normal((2, 23))
        compressor = make("svd", {"rank": 4, "wire": "float64"}, d=23, local=2)
        assert (compressor.m, compressor.c) == (4, 6)
        for _ in range(2):
            np.testing.assert_allclose(compress(compressor, x), x, atol=1e-13)


class TestBlocksOfVaryingLength:
    BLOCKS = (("W", (6, 8)), ("b", (5,)), ("V", (4, 9)))
    D = 48 + 5 + 36

    def made(self, local=3):
        def make(shape):
            return compressors["adaptive"](shape, np.dtype(float), epsilon=0.4)

        def dense(shape):
            return compressors["identity"](shape, np.dtype(float))

        whole, _ = compress_blocks(self.BLOCKS, compressors["adaptive"], make, dense)
        whole.prepare(local, local)
        return whole, [make((6, 8)), dense((5,)), make((4, 9))]

    def rows(self):
        x = np.random.default_rng(8).standard_normal((3, self.D))
        x[1, :48] = np.outer(np.arange(6), np.ones(8)).reshape(-1)  # of rank one
        x[2, 53:] = 0
        return x

    def test_a_message_is_its_length_and_the_blocks_messages_without_gaps(self):
        (whole, parts), x = self.made(), self.rows()
        messages = np.full((3, whole.nbytes), 170, np.uint8)
        whole.pack(x, messages, ())
        expected, out = np.empty_like(x), np.empty_like(x)
        total, at = np.full(3, 4), 0
        for part in parts:
            d = part.d
            part.prepare(3, 3)
            own = np.zeros((3, part.nbytes), np.uint8)
            part.pack(np.ascontiguousarray(x[:, at : at + d]), own, ())
            piece = np.empty((3, d))
            part.unpack(own, piece)
            expected[:, at : at + d] = piece
            total += message_lengths(own) if part.variable else part.nbytes
            at += d
        assert whole.variable and message_lengths(messages).tolist() == total.tolist()
        assert whole.nbytes == 4 + sum(part.nbytes for part in parts)
        assert len(set(total)) == 3
        for message, length in zip(messages, total, strict=True):
            message[length:] = 255
        whole.unpack(messages, out)
        np.testing.assert_array_equal(out, expected)
        mean = np.empty(self.D)
        whole.decode_sum(messages, np.array([0.5, 2.0, 1.0]), mean)
        np.testing.assert_allclose(mean, [0.5, 2.0, 1.0] @ expected, atol=1e-12)

    def test_lengths_that_do_not_add_up_raise(self):
        (whole, _), x = self.made(), self.rows()
        messages = np.zeros((3, whole.nbytes), np.uint8)
        whole.pack(x, messages, ())
        for at, value in ((0, 3), (0, whole.nbytes + 1), (4, 2**31), (4, 5)):
            broken = messages.copy()
            broken[1, at : at + 4] = np.array([value], "<u4").view(np.uint8)
            with pytest.raises(MessageError):
                whole.unpack(broken, np.empty_like(x))
