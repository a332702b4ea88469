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


def test_layers_follow_one_another(digits):
    blocks = make(digits, hidden=(7, 6)).blocks
    assert [block.name for block in blocks] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert [block.shape for block in blocks[::2]] == [(64, 7), (7, 6), (6, 10)]


def test_a_list_of_one_layer_is_that_layer(digits):
    x, out = np.random.default_rng(0).standard_normal(385), np.zeros((2, 4, 385))
    for hidden, row in zip((5, (5,)), out, strict=True):
        make(digits, hidden=hidden).gradients(x, row)
    np.testing.assert_array_equal(out[0], out[1])


def test_a_layer_that_hardly_bends_leaves_the_network_without_it(digits):
    """tanh(t) is t to a part in 10^12 where t is 10^-6."""
    deep, rng = make(digits, hidden=(5, 10), lambda_=0.0), np.random.default_rng(0)
    W1, b1, W2 = rng.standard_normal(320), rng.standard_normal(5), rng.standard_normal((5, 10))
    tiny, zeros = 1e-6, np.zeros(10)
    x = np.concatenate([W1, b1, (tiny * W2).ravel(), zeros, np.eye(10).ravel() / tiny, zeros])
    losses, expected = np.zeros(4), np.zeros(4)
    deep.losses(x, losses)
    shallow = np.concatenate([W1, b1, W2.ravel(), zeros])
    make(digits, hidden=5, lambda_=0.0).losses(shallow, expected)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


def test_gradients_of_many_layers_allocate_nothing(digits, gradient_peaks):
    problem = make(digits, hidden=(20, 20, 20))
    x = np.random.default_rng(0).standard_normal(problem.d)
    assert max(gradient_peaks(problem, x, 300)) < 8192 * 8 + 8000


@pytest.mark.parametrize("hidden", [0, -1, (), (4, 0)])
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
