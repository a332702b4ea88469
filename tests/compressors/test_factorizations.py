from itertools import pairwise, product

import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import qr

from mpi_lowrank.compressors import sampling
from mpi_lowrank.compressors.factors import factorizations
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError
from mpi_lowrank.errors import OptionError

SHAPES = [(8, 14), (14, 8)]
D = 112
SPECS = [
    "rangefinder:columns=3",
    "rangefinder:columns=2,power_iterations=2",
    "pivoted_qr:rank=3",
    "interpolative:rank=3",
    "interpolative:rank=8",
    "spectral:budget=3",
    "spectral:budget=3,scale=contractive",
    "adaptive:epsilon=0.3",
    "adaptive:epsilon=0.01",
    "svd:rank=2+randk:k=3,scale=unbiased",
    "pivoted_qr:rank=3+natural",
    "adaptive:epsilon=0.5+natural",
    "adaptive:epsilon=0.05+natural",
]


def with_spectrum(values, m, c, seed=0):
    """A matrix of these singular values, as a vector."""
    rng, q = np.random.default_rng(seed), min(m, c)
    u, v = (np.linalg.qr(rng.standard_normal((k, q))).Q for k in (m, c))
    return (u * np.asarray(values) @ v.T).reshape(-1)


def power_law(m, c):
    return with_spectrum(1 / np.arange(1.0, min(m, c) + 1), m, c)


def hostile(m, c):
    q = min(m, c)
    rng = np.random.default_rng(7)
    found = {
        "flat": with_spectrum(np.ones(q), m, c),
        "aligned flat": np.eye(m, c).reshape(-1),
        "rank one": with_spectrum(np.eye(1, q)[0], m, c),
        "power law": power_law(m, c),
        "gaussian": rng.standard_normal(m * c),
    }
    return found


def square(x):
    return (x**2).sum(axis=-1)


def relative_errors(spec, x, shape=None, count=1):
    rows = np.repeat(x[np.newaxis], count, axis=0)
    compressor = make(spec, shape or len(x), local=count)
    return square(compress(compressor, rows) - x) / square(x)


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((4, D)) * np.array([[1e-3], [1], [50], [1e6]])


@pytest.mark.parametrize("shape", [*SHAPES, (113,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_worker_s_bits_do_not_depend_on_who_is_beside_it(spec, dtype, shape):
    d = int(np.prod(shape))
    rows = np.random.default_rng(5).standard_normal((4, d)).astype(dtype)
    together = compress(make(spec, shape, dtype), rows)
    for w in range(4):
        alone = compress(make(spec, shape, dtype, local=1), rows[w : w + 1], first=w)
        np.testing.assert_array_equal(together[w], alone[0])


@pytest.mark.parametrize("shape", [*SHAPES, (113,)])
@pytest.mark.parametrize("spec", SPECS)
def test_decode_sum_is_the_weighted_sum_of_the_decodes(spec, shape):
    d = int(np.prod(shape))
    rows = np.random.default_rng(5).standard_normal((4, d))
    compressor = make(spec, shape)
    messages, weights = encode(compressor, rows), np.array([0.25, 0.5, 0.0, 2.0])
    total = np.full(d, np.nan)
    compressor.decode_sum(messages, weights, total)
    expected = weights @ decode(compressor, messages, d)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS)
def test_zero_compresses_to_zero_beside_what_is_not(spec, shape, rows):
    rows[[0, 2]] = 0
    with np.errstate(all="raise"):
        out = compress(make(spec, shape), rows)
    assert not out[[0, 2]].any() and out[[1, 3]].any(axis=1).all()


@pytest.mark.parametrize("spec", SPECS[:9])
def test_numbers_far_from_one_lose_nothing(spec, rows):
    rows /= np.abs(rows).max(axis=1, keepdims=True)
    errors = [
        square(compress(make(spec + ",wire=float64", (8, 14)), scale * rows) / scale - rows)
        for scale in (1.0, 2.0**600, 2.0**-600)
    ]
    for error in errors[1:]:
        np.testing.assert_allclose(error, errors[0], rtol=1e-12, atol=1e-25)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS)
def test_the_promise_holds_on_hostile_matrices(spec, shape):
    compressor = make(spec, shape)
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    count = 600 if compressor.random else 1
    for name, x in hostile(*shape).items():
        errors = relative_errors(spec, x, shape, count)
        bound = 4.5 * errors.std() / np.sqrt(count) + 1e-6
        assert errors.mean() <= promise + bound, name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", [s for s in SPECS if "+" not in s and "rank=8" not in s])
def test_the_constant_is_attained_at_the_worst_case(spec, shape):
    compressor = make(spec, shape)
    promise = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    errors = relative_errors(spec, compressor.worst_case(), shape, 200)
    assert errors.mean() == pytest.approx(promise, rel=3e-6, abs=4.5 * errors.std() / np.sqrt(200))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", ["svd:rank=3", "spectral:budget=3", SPECS[6], *SPECS[7:9]])
def test_the_expected_error_is_the_measured_one(spec, shape):
    for x in hostile(*shape).values():
        (expected,) = make(spec, shape).expected_error(x[np.newaxis])
        assert_mean(relative_errors(spec, x, shape, 400) + 1, 1 + expected / square(x))
    assert make(spec, (113,)).expected_error(np.ones((1, 113))) is None


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "m", "c", "r"), [(1, 1, 1, 1), (7, 2, 4, 2), (112, 8, 14, 3), (10**6 + 3, 1000, 1001, 4)]
)
def test_factors_cost_r_times_m_plus_c_numbers(d, m, c, r, wire):
    size = np.dtype(wire).itemsize
    for spec in (f"rangefinder:columns={r}", f"pivoted_qr:rank={r}", f"spectral:budget={r}"):
        compressor = make(f"{spec},wire={wire}", d, local=0)
        assert compressor.nbytes == r * (m + c) * size
        assert compressor.published_bits == 8 * compressor.nbytes


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("block", "r", "numbers", "index_bits"),
    [
        ((1,), 1, 1, 0),
        ((7,), 2, 2 * 4, 1),
        ((112,), 3, 3 * 14 + 3 * 5, 3),
        ((24, 40), 4, 4 * 40 + 4 * 20, 5),
        ((40, 24), 4, 4 * 40 + 4 * 20, 5),
        ((8, 8), 8, 64, 3),
        ((10**6 + 3,), 4, 4 * 1001 + 4 * 996, 10),
    ],
)
def test_interpolative_messages_are_columns_coefficients_and_indices(
    block, r, numbers, index_bits, wire
):
    compressor = make(f"interpolative:rank={r},wire={wire}", block, local=0)
    size = np.dtype(wire).itemsize
    assert compressor.nbytes == numbers * size + -(-r * index_bits // 8)
    assert compressor.published_bits == 8 * numbers * size


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("rangefinder:columns=0", "columns"),
        ("rangefinder:columns=5", "columns"),
        ("rangefinder:power_iterations=-1", "power_iterations"),
        ("pivoted_qr:rank=5", "rank"),
        ("interpolative:rank=0", "rank"),
        ("spectral:budget=5", "budget"),
        ("spectral:shape=3x9", "shape"),
        ("adaptive:epsilon=0.0", "epsilon"),
        ("adaptive:epsilon=1.0", "epsilon"),
        ("interpolative+natural", "compose"),
        ("interpolative+randk:k=1,scale=unbiased", "compose"),
        ("interpolative+natural:rounding=nearest", "compose"),
        ("adaptive+natural:rounding=nearest", "compose"),
        ("svd+adaptive", "compose"),
    ],
)
def test_impossible_options_name_themselves(spec, option):
    with pytest.raises(OptionError) as caught:
        make(spec)
    assert caught.value.option == option


class TestRangeFinder:
    def test_is_exact_from_the_rank_on(self):
        x = with_spectrum([3, 2, 1, 0, 0, 0, 0, 0], 8, 14)
        assert relative_errors("rangefinder:columns=3,wire=float64", x, (8, 14)) < 1e-26

    @pytest.mark.parametrize("shape", SHAPES)
    def test_error_on_a_flat_spectrum_is_one_minus_l_over_q_in_every_draw(self, shape):
        flat = hostile(*shape)["flat"]
        errors = relative_errors("rangefinder:columns=3,wire=float64", flat, shape, 20)
        np.testing.assert_allclose(errors, 1 - 3 / 8, rtol=1e-12)

    def test_error_is_within_the_bound_of_halko_martinsson_and_tropp(self):
        values = 0.7 ** np.arange(20)
        x = with_spectrum(values, 20, 30)
        errors = relative_errors("rangefinder:columns=8", x, (20, 30), 400) * square(x)
        tails = [(1 + r / (8 - r - 1)) * square(values[r:]) for r in range(1, 7)]
        assert errors.mean() <= min(tails)

    def test_never_exceeds_the_matrix_and_power_iterations_reach_the_best_rank(self):
        values = 0.5 ** np.arange(8)
        x, best = with_spectrum(values, 8, 14), square(values[3:]) / square(values)
        errors = [
            relative_errors(
                f"rangefinder:columns=3,power_iterations={k},wire=float64", x, (8, 14), 200
            )
            for k in (0, 1, 3)
        ]
        assert max(error.max() for error in errors) <= 1
        means = [error.mean() for error in errors]
        assert means[0] > means[1] > means[2] > best
        assert means[2] == pytest.approx(best, rel=0.05)

    def test_randomized_svd_without_oversampling_finds_the_same_matrix(self, rows):
        pair = [
            compress(make(spec + ",wire=float64", (8, 14)), rows)
            for spec in ("rangefinder:columns=3", "rsvd:rank=3,oversampling=0")
        ]
        np.testing.assert_allclose(*pair, rtol=1e-10, atol=1e-10 * 1e6)


class TestPivotedQR:
    def lapack(self, x, shape, r):
        """The error of LAPACK's own pivoted QR on the side with fewer columns."""
        matrix = x.reshape(shape)
        matrix = matrix if shape[0] >= shape[1] else matrix.T
        basis = qr(matrix, mode="economic", pivoting=True)[0][:, :r]
        return square((matrix - basis @ (basis.T @ matrix)).reshape(-1))

    @pytest.mark.parametrize("spec", ["pivoted_qr", "interpolative"])
    @pytest.mark.parametrize("shape", [*SHAPES, (24, 40)])
    def test_error_is_that_of_lapack_s_pivoted_qr(self, spec, shape):
        rng, m, c = np.random.default_rng(1), *shape
        decaying = with_spectrum(0.5 ** np.arange(min(shape)), m, c)
        for r in (1, 2, 5, 8):
            for x in (rng.standard_normal(m * c), power_law(m, c), decaying):
                (error,) = relative_errors(f"{spec}:rank={r},wire=float64", x, shape)
                assert error == pytest.approx(self.lapack(x, shape, r) / square(x), rel=1e-7)

    @pytest.mark.parametrize("spec", ["pivoted_qr", "interpolative"])
    def test_one_heavy_column_costs_only_on_the_longer_side(self, spec):
        x = np.zeros((2, 200))
        x[0, 1:], x[1, 0] = 1, 1 + 1e-6
        (error,) = relative_errors(f"{spec}:rank=1,wire=float64", x.reshape(-1), (2, 200))
        assert error == pytest.approx(1 / 200, rel=1e-4)
        basis, _ = factorizations.PivotedColumns(200, 200, 1, np.dtype(float)), None
        basis.prepare(1)
        square_one = np.zeros((1, 200, 200))
        square_one[0, :2] = x
        directions, pivots = basis(square_one)
        left = square_one[0] - np.outer(directions[0, 0], directions[0, 0] @ square_one[0])
        assert pivots[0, 0] == 0
        assert (left**2).sum() / (x**2).sum() == pytest.approx(1 - 1 / 200, rel=1e-4)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_columns_beyond_the_rank_are_zero(self, shape, dtype):
        rng = np.random.default_rng(2)
        m, c = shape
        for rank in (0, 1, 3):
            x = rng.standard_normal((4, m, rank)) @ rng.standard_normal((4, rank, c))
            x = x.reshape(4, -1).astype(dtype)
            compressor = make(f"pivoted_qr:rank=5,wire={dtype}", shape, dtype)
            p, q = compressor.factor(x.reshape(4, m, c), ())
            assert np.linalg.norm(p, axis=1)[:, :rank].all() and not p[:, :, rank:].any()
            assert np.linalg.norm(q, axis=2)[:, :rank].all() and not q[:, rank:].any()
            for spec in (f"pivoted_qr:rank=5,wire={dtype}", f"interpolative:rank=5,wire={dtype}"):
                out = compress(make(spec, shape, dtype), x)
                np.testing.assert_allclose(out, x, atol=1e2 * np.finfo(dtype).eps)

    def test_the_basis_stays_orthonormal_on_nearly_dependent_columns(self):
        hilbert = 1 / (1 + np.add.outer(np.arange(12.0), np.arange(12.0)))
        compressor = make("pivoted_qr:rank=12,wire=float64", (12, 12), local=1)
        p, _ = compressor.factor(hilbert[np.newaxis], ())
        kept = p[0][:, p[0].any(axis=0)]
        assert kept.shape[1] >= 9
        np.testing.assert_allclose(kept.T @ kept, np.eye(kept.shape[1]), atol=1e-14)


class TestInterpolative:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_holds_columns_of_the_matrix_itself_in_increasing_order(self, shape):
        m, c = shape
        x = np.random.default_rng(4).standard_normal(m * c)
        compressor = make("interpolative:rank=3,wire=float64", shape, local=1)
        out = compress(compressor, x[np.newaxis]).reshape(shape)
        matrix = x.reshape(shape)
        same = (out == matrix).all(axis=1 if m < c else 0)
        assert same.sum() == 3

    @pytest.mark.parametrize("shape", [*SHAPES, (1, 5), (5, 1), (6, 6)])
    def test_all_columns_are_the_matrix(self, shape):
        x = np.random.default_rng(4).standard_normal((2, shape[0] * shape[1]))
        spec = f"interpolative:rank={min(shape)},wire=float64"
        np.testing.assert_array_equal(compress(make(spec, shape, local=2), x), x)

    def test_indices_out_of_range_or_order_raise(self):
        compressor = make("interpolative:rank=2", (5, 9), local=1)
        message = encode(compressor, np.random.default_rng(0).standard_normal((1, 45)))
        fields = factorizations.BitFields(2, 3)
        fields.prepare(1)
        for indices in ([1, 1], [3, 2], [4, 5], [0, 7]):
            fields.pack(np.array([indices], np.uint8), message[:, : fields.nbytes])
            with pytest.raises(MessageError):
                decode(compressor, message, 45)
        fields.pack(np.array([[1, 4]], np.uint8), message[:, : fields.nbytes])
        assert np.isfinite(decode(compressor, message, 45)).all()
        with pytest.raises(MessageError):
            decode(compressor, message[:, :-1], 45)


class TestSpectral:
    def inclusions(self, values, budget, count):
        """How often each triple was drawn by `count` workers, seen in the decoded matrices."""
        q = len(values)
        x = np.zeros((q, q + 1))
        np.fill_diagonal(x, values)
        out = compress(
            make(f"spectral:budget={budget},wire=float64", x.shape, local=count),
            np.repeat(x.reshape(1, -1), count, axis=0),
        )
        return np.abs(np.diagonal(out.reshape(count, q, q + 1), axis1=1, axis2=2)) > 0

    def probabilities(self, values, budget):
        """The papers' loop: a share each, those above 1 get 1, the others share the rest."""
        p, free = np.zeros(len(values)), np.ones(len(values), bool)
        left = budget
        while True:
            p[free] = left * values[free] / values[free].sum()
            above = free & (p > 1)
            if not above.any():
                return p
            p[above], left = 1, left - above.sum()
            free &= ~above

    SPECTRA = (
        (1 / np.arange(1.0, 25), 4),
        (np.ones(24), 6),
        (0.8 ** np.arange(24.0), 6),
        (np.r_[100.0, np.ones(11)], 4),
    )

    def misses(self, drawn, p):
        """By how many standard errors the inclusions (draws, q) miss the probabilities p."""
        free = p < 1 - 1e-12
        assert drawn[:, ~free].all()
        spread = np.sqrt(p[free] * (1 - p[free]) / len(drawn))
        return np.abs(drawn[:, free].mean(axis=0) - p[free]) / spread

    @pytest.mark.parametrize(("values", "budget"), SPECTRA)
    def test_every_triple_is_drawn_as_often_as_its_probability_says(self, values, budget):
        drawn = self.inclusions(
            values, budget, 40000 if len(values) == 24 and budget == 4 else 8000
        )
        assert (drawn.sum(axis=1) == budget).all()
        assert self.misses(drawn, self.probabilities(values, budget)).max() <= 4.5

    def test_drawing_again_until_there_are_as_many_as_the_budget_would_show(self):
        values, budget = self.SPECTRA[0]
        p = np.minimum(1, budget * values / values.sum())
        drawn = np.random.default_rng(0).random((300000, 24)) < p
        biased = drawn[drawn.sum(axis=1) == budget][:40000]
        assert len(biased) == 40000 and self.misses(biased, p).max() > 4.5 + 3

    @pytest.mark.parametrize(("values", "budget"), SPECTRA)
    def test_points_all_over_the_interval_draw_every_triple_in_its_share_of_them(
        self, values, budget
    ):
        n, q, p = 20000, len(values), self.probabilities(values, budget)
        tau, certain = sampling.threshold(values[np.newaxis], budget)
        np.testing.assert_allclose(np.minimum(1, values / tau[0]), p, rtol=1e-12)
        points, every = (np.arange(n) + 0.5) / n, np.broadcast_to(values, (n, q))
        drawn = sampling.systematic(every, np.repeat(certain, n), budget, points)
        share = np.bincount(drawn.reshape(-1), minlength=q) / n
        np.testing.assert_allclose(share, p, atol=2 / n)

    def test_the_mean_is_the_matrix(self):
        x = power_law(8, 14)
        drawn = samples("spectral:budget=3,shape=8x14", x, 4000)
        rng = np.random.default_rng(0)
        for direction in (x, *rng.choice([-1.0, 1.0], (8, D)) * np.abs(x)):
            assert_mean(drawn @ direction, x @ direction)

    @settings(max_examples=200, deadline=None)
    @given(
        values=arrays(
            np.float64,
            (3, 9),
            elements=st.floats(0, 1e9, allow_subnormal=False) | st.sampled_from([0.0, 1.0]),
        ),
        budget=st.integers(1, 9),
        point=st.sampled_from([0.0, 0.5, 1 - 2**-53, 2**-60, 1 / 3]),
    )
    def test_as_many_different_triples_as_the_budget_whatever_the_round_off(
        self, values, budget, point
    ):
        values = -np.sort(-values, axis=1)
        tau, certain = sampling.threshold(values, budget)
        drawn = sampling.systematic(values, certain, budget, np.full(3, point))
        assert (np.diff(drawn, axis=1) > 0).all() and drawn.min() >= 0 and drawn.max() < 9
        for row, its_tau, chosen in zip(values, tau[:, 0], drawn, strict=True):
            positive = np.count_nonzero(row)
            if positive <= budget:
                assert its_tau == 0 or positive == budget
                assert set(range(positive)) <= set(chosen)
            else:
                assert (np.minimum(row, its_tau) / its_tau).sum() == pytest.approx(budget)
                assert (row[chosen] > 0).all()

    @pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
    def test_equal_triples_as_many_as_the_budget_are_all_drawn(self, point):
        for rank, first in product(range(1, 40), (1 / 3, 1.0, 1e9)):
            values = np.r_[first, np.full(rank - 1, 1 / 3), 0, 0][np.newaxis]
            _, certain = sampling.threshold(values, rank)
            drawn = sampling.systematic(values, certain, rank, np.array([point]))
            assert drawn.tolist() == [list(range(rank))]

    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_budget_of_the_rank_or_more_is_exact_and_leaves_zeros(self, shape):
        m, c = shape
        full = np.random.default_rng(0).standard_normal((4, D))
        np.testing.assert_allclose(
            compress(make("spectral:budget=8,wire=float64", shape), full), full, atol=1e-13
        )
        low = np.zeros((4, m, c))
        low[:, 0, 0], low[:, 1, 1] = 3, 2
        compressor = make("spectral:budget=5,wire=float64", shape)
        messages = encode(compressor, low.reshape(4, -1))
        decoded = decode(compressor, messages, D)
        np.testing.assert_allclose(decoded, low.reshape(4, -1), atol=1e-15)
        numbers = messages.view(np.float64)
        left, right = numbers[:, : 5 * m].reshape(4, 5, m), numbers[:, 5 * m :].reshape(4, 5, c)
        assert not left[:, 2:].any() and not right[:, 2:].any()

    def test_contractive_is_the_unbiased_one_divided_by_zeta(self, rows):
        pair = [
            compress(make(f"spectral:budget=2,scale={scale},wire=float64", (8, 14)), rows)
            for scale in ("unbiased", "contractive")
        ]
        np.testing.assert_allclose(pair[1], pair[0] / 4, rtol=1e-12, atol=1e-8)


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


class TestCompositions:
    NATURAL, RANDK = 9 / 8, (7 / 3, 16 / 3)

    @pytest.mark.parametrize(
        ("spec", "zeta"),
        [
            ("natural", NATURAL**2),
            ("randk:k=3,scale=unbiased", RANDK[0] * RANDK[1]),
        ],
    )
    @pytest.mark.parametrize(
        ("first", "alpha"),
        [
            ("svd:rank=2", 2 / 7),
            ("rsvd:rank=2", 2 / 7),
            ("rangefinder:columns=2", 2 / 7),
            ("pivoted_qr:rank=2", 2 / 7),
            ("adaptive:epsilon=0.75", 1 / 4),
            ("spectral:budget=2,scale=contractive", 2 / 7),
        ],
    )
    def test_alpha_is_divided_by_zeta_of_both_factors_and_holds(self, first, alpha, spec, zeta):
        whole = f"{first}{',' if ':' in first else ':'}shape=7x16+{spec}"
        compressor = make(whole, D)
        assert compressor.alpha == pytest.approx(alpha / zeta) and compressor.omega is None
        assert compressor.worst_case() is None
        for name, x in hostile(7, 16).items():
            errors = relative_errors(whole, x, count=2000)
            bound = 4.5 * errors.std() / np.sqrt(2000)
            assert errors.mean() - bound <= 1 - compressor.alpha, name

    @pytest.mark.parametrize("spec", ["natural", "randk:k=3,scale=unbiased"])
    def test_unbiased_factors_of_a_sampled_spectrum_stay_unbiased(self, spec):
        whole = f"spectral:budget=3,shape=7x16+{spec}"
        omega = make(whole, D).omega
        zeta = self.NATURAL**2 if spec == "natural" else self.RANDK[0] * self.RANDK[1]
        assert omega == pytest.approx(7 / 3 * zeta - 1)
        for x in hostile(7, 16).values():
            drawn = samples(whole, x, 3000)
            assert_mean(drawn @ x, x @ x)
            errors = square(drawn - x) / square(x)
            assert errors.mean() - 4.5 * errors.std() / np.sqrt(3000) <= omega

    def test_a_truncated_svd_with_both_factors_rounded_has_the_variance_of_independent_errors(self):
        x = with_spectrum([2, 1, 0, 0, 0, 0, 0], 7, 16)
        drawn = samples("svd:rank=2,shape=7x16+natural", x, 4000) * (9 / 8) ** 2
        assert_mean(drawn @ x, x @ x)
        ratio = square(drawn) / square(x)
        assert 1.02 < ratio.mean() <= (9 / 8) ** 2

    def test_a_flatter_spectrum_has_a_longer_message(self):
        values = [np.eye(1, 8)[0], 0.5 ** np.arange(8), np.ones(8)]
        x = np.array([with_spectrum(v, 8, 14) for v in values])
        compressor = make("adaptive:epsilon=0.5+natural", (8, 14), local=3)
        lengths = encode(compressor, x)[:, :4].view(LENGTH)[:, 0].tolist()
        assert all(a <= b for a, b in pairwise(lengths)) and lengths[0] < lengths[2]
