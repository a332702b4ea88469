from dataclasses import replace

import numpy as np
import pytest
from asked import model
from scipy.sparse import csr_array
from scipy.special import log_softmax

from mpi_lowrank.datasets import load
from mpi_lowrank.datasets.base import Dataset
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.problems import problems
from mpi_lowrank.run.validity import gradient_errors

PROBLEMS = ["softmax", "mlp"]
DTYPES = [np.float32, np.float64]

pytestmark = pytest.mark.parametrize("name", PROBLEMS)


def make(name, shards, dtype=np.float64, **options):
    return problems[name](shards, np.dtype(dtype), **options)


def start(problem, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(problem.d).astype(dtype)


def dense_logits(problem, x, features):
    parts = np.split(x, np.cumsum([np.prod(block.shape) for block in problem.blocks])[:-1])
    parts = [part.reshape(block.shape) for part, block in zip(parts, problem.blocks, strict=True)]
    if problem.name == "softmax":
        return features @ parts[0]
    return np.tanh(features @ parts[0] + parts[1]) @ parts[2] + parts[3]


def test_losses_equal_the_dense_formula(name, digits):
    problem = make(name, digits, lambda_=0.3)
    x, losses = start(problem), np.zeros(4)
    problem.losses(x, losses)
    for loss, (features, labels) in zip(losses, digits.workers, strict=True):
        logarithms = log_softmax(dense_logits(problem, x, features), axis=1)
        expected = -logarithms[np.arange(len(labels)), labels].mean() + 0.15 * (x @ x)
        assert loss == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_agree_with_finite_differences(name, digits, dtype):
    problem = make(name, digits, dtype, lambda_=0.01)
    assert gradient_errors(problem, start(problem, dtype), 4).max() <= 1


def test_a_gradient_off_by_a_millionth_is_noticed(name, digits):
    problem = make(name, digits)
    problem._chosen.whole.weights *= 1 + 1e-6
    assert gradient_errors(problem, start(problem), 4).max() > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_worker_s_bits_do_not_depend_on_who_shares_its_rank(name, digits, one_by_one, dtype):
    together = make(name, digits, dtype)
    x = start(together, dtype)
    gradients, losses = np.zeros((4, together.d), dtype), np.zeros(4)
    together.gradients(x, gradients)
    together.losses(x, losses)
    right = 0
    for w, shards in enumerate(one_by_one(digits)):
        alone = make(name, shards, dtype)
        gradient, loss = np.zeros((1, alone.d), dtype), np.zeros(1)
        alone.gradients(x, gradient)
        alone.losses(x, loss)
        assert gradient.tobytes() == gradients[w].tobytes() and loss[0] == losses[w]
        right += alone.correct(x)[0]
    assert together.correct(x)[0] == right


def test_padding_by_the_longest_shard_elsewhere_changes_round_off_only(name, digits):
    problem, padded = make(name, digits), make(name, replace(digits, longest=600))
    x, gradients = start(problem), np.zeros((2, 4, problem.d))
    losses = np.zeros((2, 4))
    for p, gradient, loss in zip((problem, padded), gradients, losses, strict=True):
        p.gradients(x, gradient)
        p.losses(x, loss)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-13)
    assert padded.correct(x) == problem.correct(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_no_logit_overflows(name, digits, dtype, size):
    problem = make(name, digits, dtype, lambda_=0.0)
    x = start(problem, dtype) * dtype(size)
    gradients, losses = np.zeros((4, problem.d), dtype), np.zeros(4)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        problem.gradients(x, gradients)
        problem.losses(x, losses)
    assert np.isfinite(gradients).all() and np.isfinite(losses).all()


def test_accuracy_counts_training_and_held_out_rows_without_padding(name, digits):
    problem = make(name, replace(digits, longest=600))
    x = start(problem)
    counts = [
        np.count_nonzero(dense_logits(problem, x, features).argmax(axis=1) == labels)
        for features, labels in [*digits.workers, digits.test]
    ]
    assert problem.correct(x) == (sum(counts[:4]), counts[4])
    assert counts[4] > 0


def test_no_held_out_rows_are_none_right(name, digits):
    none = replace(digits, test=digits.test._replace(features=np.zeros((0, 64)), labels=[]))
    problem = make(name, none)
    assert problem.correct(start(problem))[1] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_allocate_nothing(name, digits, gradient_peaks, dtype):
    problem = make(name, digits, dtype)
    # NumPy itself takes up to 8192 numbers at a time to spread an operand; logits are 17000, and
    # 12000 of a batch.
    peaks = gradient_peaks(problem, start(problem, dtype), 300)
    assert max(peaks) < 8192 * np.dtype(dtype).itemsize + 4000


def test_the_model_is_known_before_the_data_are_handed_out(name, digits):
    assert model(name, load("digits")) == make(name, digits).blocks


def test_a_negative_lambda_is_refused(name):
    with pytest.raises(OptionError, match="lambda"):
        model(name, load("digits"), lambda_=-1.0)


@pytest.mark.parametrize("labels", [[-1, 1], [1, 2], [0, 2]])
def test_rows_without_classes_from_0_are_refused(name, labels):
    data = Dataset("mine", np.zeros((2, 3)), np.array(labels, np.int8), "")
    with pytest.raises(UserError, match="data mine: expected dense rows with classes 0, 1"):
        model(name, data)


def test_sparse_rows_are_refused(name):
    data = Dataset("mine", csr_array(np.eye(2)), np.array([0, 1], np.int8), "")
    for refused in (data, load("mushrooms")):
        with pytest.raises(UserError, match=f"{refused.name}: expected dense rows"):
            model(name, refused)


def test_class_numbers_may_come_as_real_numbers(name, digits):
    as_real = [rows._replace(labels=rows.labels.astype(float)) for rows in digits.workers]
    x = np.random.default_rng(5).standard_normal(make(name, digits).d)
    losses, other = np.zeros((2, 4))
    make(name, digits).losses(x, losses)
    make(name, replace(digits, workers=as_real)).losses(x, other)
    np.testing.assert_array_equal(losses, other)
