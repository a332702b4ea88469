import numpy as np
import pytest
from asked import model

from mpi_lowrank.datasets.local import LocalShards
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems
from mpi_lowrank.run.validity import gradient_errors

DTYPES = [np.float32, np.float64]
VARIANTS = [
    {},
    {"bases": "rotated", "spectrum": "power", "heterogeneity": 0.5},
    {"bases": "common", "heterogeneity": 0.5, "target_rank": 3, "target_spectrum": "power"},
]


def shards(numbers=range(4), seed=5):
    return LocalShards(numbers, 4, seed, [])


def make(numbers=range(4), dtype=np.float64, seed=5, shape=(24, 18), **options):
    return problems["matrix"](shards(numbers, seed), np.dtype(dtype), shape=shape, **options)


def start(problem, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(problem.d).astype(dtype)


def gradients_and_losses(problem, x):
    workers = len(problem._numbers)
    gradients, losses = np.zeros((workers, problem.d), x.dtype), np.zeros(workers)
    problem.gradients(x, gradients)
    problem.losses(x, losses)
    return gradients, losses


def hessians(problem):
    """H_i, read off the gradients of a model whose first column runs through the unit vectors."""
    (m, c), found = problem.blocks[0].shape, []
    origin = gradients_and_losses(problem, np.zeros(problem.d))[0]
    for unit in np.eye(m):
        x = np.outer(unit, np.eye(c)[0]).ravel()
        difference = gradients_and_losses(problem, x)[0] - origin
        found.append(difference.reshape(-1, m, c)[:, :, 0])
    return np.stack(found, axis=2)


def solutions(problem):
    """W_i*, from the gradients at 0."""
    gradients = gradients_and_losses(problem, np.zeros(problem.d))[0]
    return np.linalg.solve(hessians(problem), -gradients.reshape(-1, *problem.blocks[0].shape))


@pytest.mark.parametrize("options", VARIANTS)
def test_losses_and_gradients_are_those_of_rows_and_right_hand_sides(options):
    problem = make(**options)
    x, rng = start(problem), np.random.default_rng(1)
    W = x.reshape(24, 18)
    gradients, losses = gradients_and_losses(problem, x)
    for i, (H, solution) in enumerate(zip(hessians(problem), solutions(problem), strict=True)):
        values, basis = np.linalg.eigh(H)
        rows = np.linalg.qr(rng.standard_normal((40, 24)))[0]
        A = np.sqrt(40) * (rows * np.sqrt(values)) @ basis.T
        B = A @ solution
        assert losses[i] == pytest.approx(((A @ W - B) ** 2).sum() / (2 * 40), rel=1e-10)
        expected = A.T @ (A @ W - B) / 40
        np.testing.assert_allclose(gradients[i], expected.ravel(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_agree_with_finite_differences(options, dtype):
    problem = make(dtype=dtype, **options)
    assert gradient_errors(problem, start(problem, dtype), 4).max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", VARIANTS)
def test_a_worker_s_bits_do_not_depend_on_who_shares_its_rank(options, dtype):
    together = make(dtype=dtype, shape=(70, 50), **options)
    x = start(together, dtype)
    gradients, losses = gradients_and_losses(together, x)
    for w in range(4):
        alone = make(range(w, w + 1), dtype, shape=(70, 50), **options)
        gradient, loss = gradients_and_losses(alone, x)
        assert gradient.tobytes() == gradients[w].tobytes() and loss[0] == losses[w]


def test_a_geometric_spectrum_reaches_the_condition_number():
    for condition in (1.0, 100.0, 1e4):
        values = np.linalg.eigvalsh(hessians(make(condition=condition)))
        expected = condition ** -(np.arange(23, -1, -1) / 23)
        np.testing.assert_allclose(values, np.tile(expected, (4, 1)), rtol=1e-9)


def test_a_power_spectrum_is_one_over_j():
    values = np.linalg.eigvalsh(hessians(make(spectrum="power", bases="rotated")))
    np.testing.assert_allclose(values[:, ::-1], np.tile(1 / np.arange(1, 25), (4, 1)), rtol=1e-11)


def test_common_bases_are_alike_and_rotated_ones_are_not():
    common, rotated = hessians(make()), hessians(make(bases="rotated"))
    assert (common == common[0]).all()
    tops = [np.linalg.eigh(H)[1][:, -1] for H in rotated]
    assert all(abs(tops[i] @ tops[j]) < 0.7 for i in range(4) for j in range(i))


def test_the_target_has_the_chosen_spectrum_and_entries_of_mean_square_1():
    for options, expected in [
        ({}, np.ones(18)),
        ({"target_rank": 3}, np.ones(3)),
        ({"target_rank": 5, "target_spectrum": "power"}, 1 / np.arange(1, 6)),
    ]:
        found = np.linalg.svd(solutions(make(**options))[0])[1]
        assert (found**2).sum() == pytest.approx(24 * 18, rel=1e-9)
        assert abs(found[len(expected) :]).max(initial=0) < 1e-9
        np.testing.assert_allclose(found[: len(expected)] / found[0], expected, rtol=1e-9)


def test_heterogeneity_moves_each_target_by_its_own_low_rank_matrix():
    still, moved = solutions(make()), solutions(make(heterogeneity=0.3, heterogeneity_rank=2))
    assert abs(still - still[0]).max() < 1e-10
    for difference in moved - still:
        values = np.linalg.svd(difference)[1]
        assert np.linalg.norm(values) == pytest.approx(0.3 * np.linalg.norm(still[0]), rel=1e-9)
        assert values[1] > 0.1 and values[2] < 1e-9
    assert np.linalg.norm(moved[0] - moved[1]) > 0.3 * np.linalg.norm(still[0])


def test_heterogeneity_leaves_the_designs_as_they_are():
    still, moved = (make(bases="rotated", heterogeneity=h) for h in (0.0, 0.5))
    np.testing.assert_allclose(hessians(moved), hessians(still), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", [(24, 18), (7, 5), (1, 1)])
@pytest.mark.parametrize("options", VARIANTS[:2])
def test_smoothness_equals_dense_eigenvalues(options, shape, mean):
    problem = make(shape=shape, **options, heterogeneity_rank=1)
    constants, H = problem.smoothness(mean), hessians(problem)
    np.testing.assert_allclose(constants.L_i, np.linalg.eigvalsh(H)[:, -1], rtol=1e-12)
    assert constants.mu == pytest.approx(np.linalg.eigvalsh(H)[:, 0].min(), rel=1e-9)
    assert constants.L == pytest.approx(np.linalg.eigvalsh(H.mean(axis=0))[-1], rel=1e-11)


def test_float32_designs_have_a_smoothness_constant_of_float64_precision(mean):
    options = {"bases": "rotated", "spectrum": "power", "shape": (60, 3)}
    single, double = (make(dtype=d, **options).smoothness(mean).L for d in DTYPES)
    assert single == pytest.approx(double, rel=1e-6)


def test_gradient_descent_on_the_default_takes_many_steps_and_meets_the_target():
    problem = make()
    x, out = np.zeros(problem.d), np.zeros((4, problem.d))
    norms = []
    for _ in range(1500):
        problem.gradients(x, out)
        x -= out.mean(axis=0)
        norms.append(np.linalg.norm(out))
    assert norms[10] > 1e-3 * norms[0] and norms[-1] < 1e-6 * norms[0]
    losses = np.zeros(4)
    problem.losses(x, losses)
    assert (losses >= 0).all() and losses.max() < 1e-8


def test_another_seed_makes_other_data():
    x = np.zeros(24 * 18)
    a, b = (gradients_and_losses(make(seed=s), x)[0] for s in (0, 1))
    assert abs(np.corrcoef(a[0], b[0])[0, 1]) < 0.3


def test_the_target_is_not_the_start_that_the_same_seed_draws():
    draws = np.random.default_rng(5).standard_normal(24 * 18)
    assert abs(np.corrcoef(solutions(make())[0].ravel(), draws)[0, 1]) < 0.2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_allocate_nothing(options, dtype, gradient_peaks):
    problem = make(dtype=dtype, shape=(128, 128), **options)
    # NumPy itself takes up to 8192 numbers at a time to spread an operand; W has 16384, and so
    # have the rows of a batch.
    peaks = gradient_peaks(problem, start(problem, dtype), 32)
    assert max(peaks) < 8192 * np.dtype(dtype).itemsize + 4000


def test_there_are_no_rows_to_classify():
    problem = make()
    assert np.isnan(problem.correct(start(problem))).all() and problem.default_data is None


def test_the_model_is_known_without_data():
    assert model("matrix", None, shape=(24, 18)) == make().blocks


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (0, 3)},
        {"condition": 0.5},
        {"condition": np.inf},
        {"target_rank": 0},
        {"target_rank": 19},
        {"heterogeneity": -0.1},
        {"heterogeneity": 0.1, "heterogeneity_rank": 0},
        {"heterogeneity": 0.1, "heterogeneity_rank": 19},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(OptionError, match=f"^{list(options)[-1]} = "):
        model("matrix", None, **{"shape": (24, 18)} | options)


def test_a_rank_of_no_consequence_may_exceed_a_small_matrix():
    assert model("matrix", None, shape=(3, 2)) == make(shape=(3, 2)).blocks


@pytest.mark.parametrize(
    ("options", "losses"),
    [
        (VARIANTS[0], [91.24371095513585] * 4),
        (
            VARIANTS[1],
            [70.3189963397279, 81.20860874805163, 72.07708445211935, 78.61106960507982],
        ),
        (
            VARIANTS[2],
            [143.03727103327375, 138.52564377210985, 144.00683762119766, 146.37184608251357],
        ),
    ],
)
def test_a_seed_s_problem_is_the_one_it_was(options, losses):
    problem = make(**options)
    found = gradients_and_losses(problem, start(problem))[1]
    np.testing.assert_allclose(found, losses, rtol=1e-9)


@pytest.mark.parametrize("rank", [1, 18])
def test_the_smallest_and_the_largest_rank_are_allowed(rank):
    options = {"heterogeneity": 0.1, "heterogeneity_rank": rank, "target_rank": rank}
    assert model("matrix", None, shape=(24, 18), **options)[0].shape == (24, 18)
