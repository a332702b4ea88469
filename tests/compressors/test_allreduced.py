import numpy as np
import pytest
from harness import assert_mean, make_shared

from mpi_lowrank.certificate.drive import reduce
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError
from mpi_lowrank.run.components import make_operator

ROWS = np.random.default_rng(3).standard_normal((4, 30)) * [[1], [2], [0.1], [5]]


class TestSharedRandK:
    def test_all_workers_send_the_same_coordinates_and_the_mean_is_the_mean_s(self):
        for scale, factor in (("contractive", 1), ("unbiased", 6)):
            compressor = make_shared(f"shared_randk:k=5,scale={scale},wire=float64", 30)
            own, mean, sent = reduce(compressor, ROWS, 2)
            (support,) = np.nonzero(mean)
            assert len(support) == 5 and sent == compressor.nbytes == 40
            np.testing.assert_allclose(own[:, support], factor * ROWS[:, support], rtol=1e-14)
            np.testing.assert_allclose(mean, own.mean(axis=0), rtol=1e-13)

    def test_constants_hold_with_equality_for_every_x(self):
        x = ROWS[:1]
        for scale, expected in (("contractive", 1 - 5 / 30), ("unbiased", 5.0)):
            compressor = make_shared(f"shared_randk:k=5,scale={scale},wire=float64", 30, local=1)
            errors = [((reduce(compressor, x, t)[1] - x) ** 2).sum() for t in range(3000)]
            assert_mean(np.array(errors) / (x**2).sum(), expected)
            assert compressor.expected_error(x)[0] == pytest.approx(expected * (x**2).sum())

    def test_every_coordinate_is_drawn_alike(self):
        compressor = make_shared("shared_randk:k=5", 30, local=1)
        drawn = np.array([reduce(compressor, ROWS[:1], t)[1] != 0 for t in range(3000)])
        bound = 4.5 * np.sqrt(5 / 30 * 25 / 30 / 3000)
        assert np.abs(drawn.mean(axis=0) - 5 / 30).max() <= bound

    def test_k_outside_its_range_is_refused(self):
        for k in (0, 31):
            with pytest.raises(OptionError, match="k"):
                make_shared(f"shared_randk:k={k}", 30)


class TestSharedQSGD:
    def test_levels_are_integers_relative_to_the_largest_of_all(self):
        compressor = make_shared("shared_qsgd:levels=4", 30)
        own, mean, sent = reduce(compressor, ROWS, 1)
        steps = own / (np.abs(ROWS).max() / 4)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
        assert (np.abs(own - ROWS) <= np.abs(ROWS).max() / 4 * (1 + 1e-6)).all()
        np.testing.assert_allclose(mean, own.mean(axis=0), atol=1e-13)
        assert sent == compressor.nbytes == 4 + 30

    def test_the_mean_is_unbiased_with_the_variance_of_independent_dithers(self):
        compressor = make_shared("shared_qsgd:levels=2", 30)
        drawn = np.array([reduce(compressor, ROWS, t)[1] for t in range(3000)])
        exact, largest = ROWS.mean(axis=0), np.abs(ROWS).max()
        for direction in (exact, np.sign(exact)):
            assert_mean(drawn @ direction, exact @ direction)
        y = 2 * np.abs(ROWS) / largest
        part = y - np.floor(y)
        expected = (largest / 2) ** 2 * (part * (1 - part)).sum() / 16
        assert compressor.expected_error(ROWS).sum() / 16 == pytest.approx(expected, rel=1e-6)
        assert_mean(((drawn - exact) ** 2).sum(axis=1), expected)
        assert expected <= 30 * largest**2 / (4 * 4 * 4)

    def test_the_constant_is_attained_by_one_large_number_among_all_workers(self):
        compressor = make_shared("shared_qsgd:levels=3", 30)
        x = np.full((4, 30), 1 / (3 + np.sqrt(3**2 + 4 * 30 - 1)))
        x[2, 7] = 1
        errors = [((reduce(compressor, x, t)[0] - x) ** 2).sum() for t in range(3000)]
        assert_mean(np.array(errors) / (x**2).sum(), compressor.omega)
        of_all = compressor.expected_error(x).sum()
        assert of_all == pytest.approx(compressor.omega * (x**2).sum(), rel=1e-9)

    @pytest.mark.parametrize(
        ("levels", "workers", "nbytes"), [(4, 31, 1), (4, 32, 2), (127, 1, 1), (128, 1, 2)]
    )
    def test_the_integers_hold_the_sum_of_all_workers(self, levels, workers, nbytes):
        compressor = make_shared(f"shared_qsgd:levels={levels}", 30, workers=workers)
        assert compressor.nbytes == 4 + 30 * nbytes
        with pytest.raises(OptionError, match="levels"):
            make_shared("shared_qsgd:levels=32768", 30, workers=2**17)

    def test_the_common_scale_is_rounded_up_so_that_no_number_exceeds_it(self):
        x = np.zeros((1, 30))
        x[0, :2] = 1 + 2.0**-30, 0.5  # the float32 of the first one is below it
        compressor = make_shared("shared_qsgd:levels=1", 30, local=1)
        own, _, _ = reduce(compressor, x)
        assert own[0, 0] == np.nextafter(np.float32(1), np.float32(2))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("size", [1e-45, 1e-39, 1e-30, 3e38, float(np.finfo("f4").max)])
    def test_the_largest_number_of_all_is_kept_however_small_or_large(self, dtype, size):
        compressor = make_operator(read_spec("shared_qsgd:levels=4"), (30,), dtype, 1)
        compressor.prepare(1, 1)
        x = np.zeros((1, 30), dtype)
        x[0, :3] = np.array([1, -0.5, 0.25]) * np.float32(size)
        with np.errstate(over="raise", invalid="raise"):
            own, mean, _ = reduce(compressor, x)
        assert not own[0, 3:].any() and np.isfinite(own).all()
        np.testing.assert_allclose(mean[0], x[0, 0], rtol=1e-6, atol=4 * 1.5e-45)

    def test_zero_stays_zero_and_a_worker_s_draws_are_its_own(self):
        compressor = make_shared("shared_qsgd:levels=1", 30)
        own, mean, _ = reduce(compressor, np.zeros((4, 30)))
        assert not own.any() and not mean.any()
        own, _, _ = reduce(compressor, np.repeat(np.linspace(-1, 1, 30)[None], 4, axis=0))
        assert len({row.tobytes() for row in own}) == 4
