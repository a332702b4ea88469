import numpy as np
import pytest
from asked import model

from mpi_lowrank.datasets import load
from mpi_lowrank.errors import OptionError
from mpi_lowrank.problems import problems


def make(shards, **options):
    return problems["mlp"](shards, np.dtype(np.float64), **options)


def test_gradients_equal_complex_steps_through_the_dense_formula(digits):
    problem = make(digits, hidden=5, lambda_=0.1)
    x, out = np.random.default_rng(0).standard_normal(problem.d), np.zeros((4, problem.d))
    problem.gradients(x, out)
    features, labels = digits.workers[3]

    def loss(x):
        W1, b1, W2, b2 = np.split(x, [320, 325, 375])
        logits = np.tanh(features @ W1.reshape(64, 5) + b1) @ W2.reshape(5, 10) + b2
        entropy = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
        return entropy.mean() + 0.05 * (x @ x)

    # Im f(x + ihv) / h is exact to round-off; v are the ends of each block.
    for j in (10, 319, 320, 324, 325, 374, 375, 384):
        slope = loss(x + 1e-30j * np.eye(385)[j]).imag / 1e-30
        assert out[3, j] == pytest.approx(slope, rel=1e-10)


def test_the_blocks_have_their_own_shapes(digits):
    shapes = {block.name: block.shape for block in make(digits, hidden=7).blocks}
    assert shapes == {"W1": (64, 7), "b1": (7,), "W2": (7, 10), "b2": (10,)}


def test_without_biases_it_is_the_network_whose_biases_are_zero(digits):
    whole, without = make(digits, hidden=5), make(digits, hidden=5, biases=False)
    assert [block.name for block in without.blocks] == ["W1", "W2"]
    x, weights = np.random.default_rng(0).standard_normal(385), np.ones(385, bool)
    weights[320:325] = weights[375:] = False
    x[~weights] = 0
    gradients, losses, out, loss = np.zeros((4, 385)), np.zeros(4), np.zeros((4, 370)), np.zeros(4)
    whole.gradients(x, gradients)
    without.gradients(x[weights], out)
    np.testing.assert_array_equal(out, gradients[:, weights])
    whole.losses(x, losses)
    without.losses(x[weights], loss)
    np.testing.assert_array_equal(loss, losses)
    start, scaled = np.ones(385), np.ones(370)
    whole.scale_start(start)
    without.scale_start(scaled)
    np.testing.assert_array_equal(scaled, start[weights])


def test_there_is_no_smoothness_constant(digits, mean):
    constants = make(digits).smoothness(mean)
    assert np.isnan(constants.L) and np.isnan(constants.L_i).all() and len(constants.L_i) == 4


@pytest.mark.parametrize("hidden", [0, -1])
def test_a_hidden_layer_without_units_is_refused(hidden):
    with pytest.raises(OptionError, match="hidden"):
        model("mlp", load("digits"), hidden=hidden)


def test_a_scaled_start_keeps_tanh_out_of_saturation(digits):
    problem = make(digits, hidden=64)
    x = np.random.default_rng(0).standard_normal(problem.d)
    unscaled = x.copy()
    problem.scale_start(x)
    np.testing.assert_allclose(x[: 64 * 64] * 8, unscaled[: 64 * 64])
    assert not x[4096:4160].any() and not x[-10:].any()
    active = np.tanh(digits.test.features @ x[:4096].reshape(64, 64))
    assert (abs(active) < 0.9).mean() > 0.95


def test_gradient_descent_learns_the_digits(digits):
    problem = make(digits)
    x, out = np.random.default_rng(0).standard_normal(problem.d), np.zeros((4, problem.d))
    problem.scale_start(x)
    for _ in range(300):
        problem.gradients(x, out)
        x -= 0.5 * out.mean(axis=0)
    train, test = problem.correct(x)
    assert train > 0.95 * 1697 and test > 92
