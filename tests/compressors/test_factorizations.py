from itertools import product

import numpy as np
import pytest
from harness import assert_mean, compress, decode, encode, make, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import qr
from spectra import SHAPES, D, hostile, power_law, relative_errors, square, with_spectrum

from mpi_lowrank.compressors import sampling
from mpi_lowrank.compressors.factors import factorizations
from mpi_lowrank.compressors.wire.messages import MessageError


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
