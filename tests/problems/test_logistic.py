import numpy as np
import pytest
from asked import model
from scipy.sparse import csr_array

from mpi_lowrank.datasets import Dataset, load, shard_rows
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.run.validity import gradient_errors

REGULARIZERS = ["nonconvex", "l2"]


def shards_of(dataset, workers):
    assigned = shard_rows(dataset.labels, workers, "contiguous", 0)
    rows = [Rows(dataset.features[r], dataset.labels[r]) for r in assigned]
    longest = max(len(r) for r in assigned)
    test = Rows(dataset.features[:0], dataset.labels[:0])
    return LocalShards(range(workers), workers, 0, rows, test, longest, 8124, 0, 2)


def make(shards, dtype=np.float64, **options):
    return problems["logistic"](shards, np.dtype(dtype), **options)


@pytest.fixture(scope="module")
def mushrooms():
    return shards_of(load("mushrooms"), 20)


def dense_loss(rows, x, regularizer, strength):
    margins = rows.labels * (rows.features.toarray().astype(float) @ x)
    value = np.logaddexp(0, -margins).mean()
    if regularizer == "l2":
        return value + strength / 2 * (x @ x)
    return value + strength * (x**2 / (1 + x**2)).sum()


def mean_of(n):
    return lambda rows: rows.sum(axis=0) / n


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_losses_equal_the_dense_formula_on_unequal_shards(mushrooms, regularizer):
    problem = make(mushrooms, regularizer=regularizer, lambda_=0.3)
    x, losses = np.random.default_rng(0).standard_normal(112), np.zeros(20)
    problem.losses(x, losses)
    expected = [dense_loss(rows, x, regularizer, 0.3) for rows in mushrooms.workers]
    np.testing.assert_allclose(losses, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_most_is_padding_it_is_left_out_and_changes_no_bit(dtype):
    """199 workers have a row each, and the last one 101."""
    data = load("mushrooms")
    few = shards_of(Dataset("few", data.features[:300], data.labels[:300], ""), 200)
    problem, x = make(few, dtype), np.random.default_rng(0).standard_normal(112).astype(dtype)
    assert few.longest == 101 and problem._chosen.whole._real is not None
    losses, gradients = np.zeros(200), np.zeros((200, 112), dtype)
    problem.losses(x, losses)
    problem.gradients(x, gradients)
    expected = [dense_loss(rows, x.astype(float), "nonconvex", 0.1) for rows in few.workers]
    np.testing.assert_allclose(losses, expected, rtol=10 * np.finfo(dtype).eps)
    problem._chosen.whole._real = None  # the padding is computed as well
    others = np.zeros(200), np.zeros((200, 112), dtype)
    problem.losses(x, others[0])
    problem.gradients(x, others[1])
    assert losses.tobytes() == others[0].tobytes()
    assert gradients.tobytes() == others[1].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_gradients_agree_with_finite_differences(mushrooms, regularizer, dtype):
    problem = make(mushrooms, dtype, regularizer=regularizer)
    x = np.random.default_rng(0).standard_normal(112).astype(dtype)
    assert gradient_errors(problem, x, 20).max() <= 1


def test_a_gradient_off_by_a_millionth_is_noticed(mushrooms):
    problem = make(mushrooms)
    problem._chosen.whole.weights *= 1 + 1e-6
    x = np.random.default_rng(0).standard_normal(112)
    assert gradient_errors(problem, x, 20).max() > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_allocate_nothing(mushrooms, dtype, gradient_peaks):
    x = np.random.default_rng(0).standard_normal(112).astype(dtype)
    # NumPy itself takes up to 8192 numbers at a time to spread an operand, row numbers of 8 bytes
    # too; a batch has 84000 features that are not 0.
    peaks = gradient_peaks(make(mushrooms, dtype), x, 200)
    assert max(peaks) < 8192 * 8 + 4000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_no_margin_overflows(mushrooms, dtype, size):
    problem = make(mushrooms, dtype, lambda_=0.0)
    out, losses = np.zeros((20, 112), dtype), np.zeros(20)
    for x in (np.full(112, size, dtype), np.full(112, -size, dtype)):
        with np.errstate(over="raise", invalid="raise"):
            problem.gradients(x, out)
            problem.losses(x, losses)
        assert np.isfinite(out).all() and np.isfinite(losses).all()
        expected = [(r.labels * x[0] < 0).mean() * 21 * size for r in mushrooms.workers]
        np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_smoothness_meets_the_known_constants_of_mushrooms(mushrooms):
    constants = make(mushrooms).smoothness(mean_of(20))
    assert np.sqrt((constants.L_i**2).mean()) == pytest.approx(3.493226, abs=5e-7)
    assert constants.L_i.mean() == pytest.approx(3.471120, abs=5e-7)
    # The published L weighs rows alike, f weighs workers alike: one shard has 410 rows, not 406.
    assert constants.L == pytest.approx(2.786214, rel=1e-4)


@pytest.mark.parametrize(("regularizer", "curvature"), [("nonconvex", 0.2), ("l2", 0.1)])
def test_smoothness_equals_dense_eigenvalues(mushrooms, regularizer, curvature):
    grams = []
    for rows in mushrooms.workers:
        dense = rows.features.toarray().astype(float)
        grams.append(dense.T @ dense / (4 * len(dense)))
    constants = make(mushrooms, regularizer=regularizer).smoothness(mean_of(20))
    expected = np.linalg.eigvalsh(grams)[:, -1] + curvature
    np.testing.assert_allclose(constants.L_i, expected, rtol=1e-12)
    top = np.linalg.eigvalsh(np.mean(grams, axis=0))[-1] + curvature
    assert constants.L == pytest.approx(top, rel=1e-12)
    assert constants.mu == (0.1 if regularizer == "l2" else 0)


def test_accuracy_counts_rows_and_not_padding(mushrooms):
    problem = make(mushrooms)
    x = np.random.default_rng(0).standard_normal(112)
    right = sum(
        ((rows.features.toarray() @ x > 0) == (rows.labels > 0)).sum() for rows in mushrooms.workers
    )
    assert problem.correct(x) == (right, 0)


def test_real_valued_sparse_rows_with_empty_ones_and_held_out_rows():
    rng = np.random.default_rng(2)
    dense = rng.standard_normal((9, 5)) * (rng.random((9, 5)) < 0.4)
    dense[4] = 0
    labels = np.where(rng.random(9) < 0.5, -1, 1).astype(np.int8)
    rows = [Rows(csr_array(dense[:3]), labels[:3]), Rows(csr_array(dense[3:7]), labels[3:7])]
    test = Rows(csr_array(dense[7:]), labels[7:])
    shards = LocalShards(range(2), 2, 0, rows, test, 4, 7, 2, 2)
    problem = make(shards, regularizer="l2", lambda_=0.5)
    x, out = rng.standard_normal(5), np.zeros((2, 5))
    problem.gradients(x, out)
    for row, (features, y) in zip(out, rows, strict=True):
        a = features.toarray()
        sigma = 1 / (1 + np.exp(y * (a @ x)))
        np.testing.assert_allclose(row, -(a.T @ (y * sigma)) / len(y) + 0.5 * x, rtol=1e-12)
    assert problem.correct(x)[1] == ((dense[7:] @ x > 0) == (labels[7:] > 0)).sum()


def test_a_negative_lambda_is_refused():
    with pytest.raises(OptionError):
        model("logistic", load("mushrooms"), lambda_=-1.0)


@pytest.mark.parametrize("labels", [[0, 1], [1, 2], [-1.0, 0.5], [1, 1]])
def test_labels_other_than_minus_and_plus_1_are_refused(labels):
    data = Dataset("mine", csr_array(np.eye(2)), np.array(labels), "")
    with pytest.raises(UserError, match=r"data mine: .*labelled -1 and \+1"):
        model("logistic", data)
