"""Methods on batches: what they reduce to, which samples they take, and their floors."""

import numpy as np
import pytest
from cases import assembled, models
from quadratics import make, make_compressor, run, theory_stepsize
from test_methods import CONSTANTS, EXAMPLE

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.problems.batch import Batches

DIGITS = """
workers = 10
seed = 2
stepsize = "0.5/L"
data = {{ name = "digits", order = "by_label" }}
problem = {{ name = "softmax", lambda = 0.01 }}
[[cases]]
method = {method}
compressor = "{compressor}"
"""


def digits(method, compressor="sdd:rank=2"):
    return assembled(DIGITS.format(method=method, compressor=compressor))


@pytest.mark.parametrize(
    ("method", "parent"),
    [
        ('"EF21-SGD"', '"EF21"'),
        ('{ name = "EF21-SGDM", eta = 1.0 }', '"EF21"'),
        ('{ name = "EF21-SGDM", eta = 1.0, batch = 16 }', '{ name = "EF21-SGD", batch = 16 }'),
        ('{ name = "EF21-PAGE", probability = 1.0, batch = 16 }', '"EF21"'),
    ],
)
def test_at_its_neutral_parameter_a_method_is_its_parent_to_the_bit(method, parent):
    for compressor in ("sdd:rank=2", "powersgd:rank=1"):
        x = models(digits(method, compressor), 8)
        np.testing.assert_array_equal(x, models(digits(parent, compressor), 8))


def test_sgd_without_a_batch_is_gradient_descent_and_with_one_of_everything_too():
    x = models(digits('"GD"', "identity"), 8)
    np.testing.assert_array_equal(models(digits('"SGD"', "identity"), 8), x)
    whole = models(digits('{ name = "SGD", batch = 1000 }', "identity"), 8)
    np.testing.assert_allclose(whole, x, rtol=1e-12, atol=1e-13)


def test_sgd_s_direction_is_the_mean_gradient_of_the_round_s_batches():
    made = digits('{ name = "SGD", batch = 16 }', "identity:wire=float64")
    batches = Batches(2, range(10), made.ground.problem.samples, 16)
    out, x = np.zeros((10, 640)), made.method.x.copy()
    for t, moved in enumerate(models(made, 3)):
        made.ground.problem.gradients(x, out, batches.at(t))
        np.testing.assert_allclose((x - moved) / made.method.stepsize, out.mean(axis=0), atol=1e-13)
        x = moved


def test_momentum_is_the_recursion_of_the_batches_gradients():
    made = digits('{ name = "EF21-SGDM", batch = 16, eta = 0.1 }', "identity:wire=float64")
    other = digits('{ name = "EF21-SGD", batch = 16 }', "identity:wire=float64")
    followed = None
    for t in range(4):
        gradients = other.method.gradients(made.method.x, other.method.drawn(t)).copy()
        followed = gradients if followed is None else 0.9 * followed + 0.1 * gradients
        models(made, 1)
        np.testing.assert_allclose(made.method.estimate_error()[0], followed, atol=1e-13)


def test_page_takes_the_same_samples_at_both_points():
    """Where x rests, what follows the whole gradient stays it, however few samples are drawn."""
    page = '{ name = "EF21-PAGE", batch = 1, probability = 1e-9 }'
    text = DIGITS.format(method=page, compressor="identity:wire=float64")
    made = assembled(text.replace('"0.5/L"', "1e-300"))
    models(made, 5)
    whole = made.method.gradients(made.method.x)
    np.testing.assert_allclose(made.method.estimate_error()[0], whole, atol=1e-12)


def test_page_takes_whole_gradients_as_often_as_it_says():
    made = digits('{ name = "EF21-PAGE", batch = 4, probability = 0.25 }', "topk:k=16")
    calls, gradients = [], made.method.gradients
    made.method.gradients = lambda x, batch=None: (calls.append(batch), gradients(x, batch))[1]
    models(made, 200)
    whole = sum(batch is None for batch in calls)
    assert 35 <= whole <= 65 and len(calls) == 200 + (200 - whole)


# Fatkhullin, Tyurin, Richtarik 2023, theorem 1: f = |x|^2 / 2, one worker, Top-1.
NOISE = np.sqrt(0.3) * np.array([[[2.0, 0], [0, 1], [-2, -1]]])


def floor(name, gamma, rounds=5000, **options):
    """The mean of |grad f|^2, from 0, in so many rounds after 2 / gamma others."""
    spec = ("topk", {"k": 1}) if methods[name].needs_compressor else ("identity", {})
    one = np.eye(2)[np.newaxis]
    method = make(name, spec, gamma, one, x0=np.zeros(2), noise=NOISE, batch=1, **options)
    run(method, int(2 / gamma))
    squares = [float(x @ x) for x in (run(method, 1) for _ in range(rounds))]
    return np.mean(squares)


def test_ef21_on_batches_has_a_floor_that_no_stepsize_lowers_and_momentum_takes_it_away():
    gamma = 1e-3
    plain = floor("EF21-SGD", gamma)
    assert plain == pytest.approx(0.0056, rel=0.25)
    assert floor("EF21-SGDM", gamma, eta=0.1) < plain / 3


def test_stepsizes_of_the_theory():
    compressor = make_compressor(("topk", {"k": 1}), 3)
    parent = theory_stepsize("EF21", CONSTANTS, compressor)
    assert theory_stepsize("SGD", CONSTANTS, compressor, batch=1) == pytest.approx(6 / 103)
    assert theory_stepsize("EF21-SGD", CONSTANTS, compressor, batch=1) == parent
    step = theory_stepsize("EF21-SGDM", CONSTANTS, compressor, eta=0.5)
    assert step == pytest.approx(min(1 / 3 / (20 * 34.5), 0.5 / (7 * 103 / 6)))
    assert theory_stepsize("EF21-PAGE", CONSTANTS, compressor, probability=1.0) == parent
    with pytest.raises(UserError, match="set stepsize"):
        theory_stepsize("EF21-PAGE", CONSTANTS, compressor)


@pytest.mark.parametrize("eta", [1.0, 0.3, 0.05])
def test_ef21_sgdm_s_lyapunov_function_falls_at_the_theory_s_stepsize(eta):
    """f + a G + b |v - grad f|^2 + c mean |v_i - grad f_i|^2, by EF21's argument and momentum's."""
    n, alpha = 3, 1 / 3
    compressor = make_compressor(("topk", {"k": 1}), 3)
    gamma = theory_stepsize("EF21-SGDM", CONSTANTS, compressor, eta=eta)
    x0 = np.array([1.0, -2, 0.5])
    method = make("EF21-SGDM", ("topk", {"k": 1}), gamma, EXAMPLE, x0=x0, eta=eta)
    a, b = 2 * gamma / alpha, gamma / eta
    c = 4 * a * eta / alpha

    def lyapunov(x):
        slopes, v, g = np.einsum("wij,j->wi", EXAMPLE, x), method._followed, method._estimates
        mean = (v - slopes).mean(axis=0)
        parts = a * ((g - v) ** 2).sum() / n, b * mean @ mean, c * ((v - slopes) ** 2).sum() / n
        return x @ EXAMPLE.mean(axis=0) @ x / 2 + sum(parts)

    values = []
    for _ in range(300):
        x = method.x.copy()  # v_i and g_i of a round belong to the x that it began with
        run(method, 1)
        values.append(lyapunov(x))
    assert (np.diff(values) < 0).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"batch": 0}),
        ("EF21-SGDM", {"eta": 0.0}),
        ("EF21-SGDM", {"eta": 1.1}),
        ("EF21-PAGE", {"probability": 0.0}),
    ],
)
def test_an_impossible_option_is_refused(name, options):
    with pytest.raises(OptionError, match=f"{next(iter(options))} = "):
        methods[name].check(methods[name].filled(options))
