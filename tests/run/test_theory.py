"""What theorems promise, beside what came of it: against dense float64 NumPy, and broken."""

from dataclasses import replace

import numpy as np
import pytest
from dense_reference import Logistic, top_k
from theory_run import HEAD, Run

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.coordinates.sparse import TopK
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.problems.matrix_regression import MatrixRegression
from mpi_lowrank.record import THEORY

WORKERS, ROUNDS, K, D = 3, 12, 5, 112

TOPK = 'compressor = "topk:k=5,wire=float64"'
STRONG = 'problem = { name = "logistic", regularizer = "l2", lambda = 0.5 }'
MATRIX = 'problem = { name = "matrix", shape = [8, 6] }'


def expected(method, compressed=False):
    """The columns of THEORY after 0, 1, ... rounds, from the papers' formulas."""
    problem = Logistic(WORKERS, strength=0.1)
    L, L_i = problem.smoothness()
    alpha = 1.0 if method == "GD" else K / D
    s = np.sqrt(1 - alpha)
    gamma = 1 / (L + np.sqrt(np.mean(L_i**2)) * ((1 + s) / alpha - 1))
    theta, start = 1 - s, None
    x, g = np.random.default_rng(0).standard_normal(D), np.zeros((WORKERS, D))
    alphas = np.full(WORKERS, np.nan)
    for done in range(ROUNDS + 1):
        gradients = problem.gradients(x)
        error = ((g - gradients) ** 2).sum(axis=1).mean()
        whole = method == "GD" or (done == 0 and not compressed)
        left = 0 if whole else 1 - alpha
        psi = problem.loss(x) + gamma / (2 * theta) * left * error
        start = psi if done == 0 else start
        bound = 2 * start / (gamma * done) if done else np.nan
        yield (
            alphas.min(),
            alphas.mean(),
            np.nan if method == "GD" else error,
            psi,
            bound,
            np.nan,  # f is not strongly convex
            np.nan,
        )
        v = gradients - (0 if method == "GD" else g)
        sent = v if whole else top_k(v, K)
        if not whole or method == "GD":
            alphas = 1 - ((sent - v) ** 2).sum(axis=1) / (v**2).sum(axis=1)
        g = sent if method == "GD" else g + sent
        x = x - gamma * g.mean(axis=0)


CASES = {
    "GD": ("GD", False, 'method = "GD"\ncompressor = "identity:wire=float64"'),
    "dense": ("EF21", False, f'method = "EF21"\n{TOPK}'),
    "compressed": ("EF21", True, f'method = {{ name = "EF21", g0 = "compressed" }}\n{TOPK}'),
}


@pytest.mark.parametrize("name", CASES)
def test_every_column_is_what_dense_numpy_makes_of_it(name):
    method, compressed, text = CASES[name]
    run = Run(text)
    wanted = np.array(list(expected(method, compressed))).T
    for column, values in zip(THEORY, wanted, strict=True):
        np.testing.assert_allclose(run.columns[column], values, rtol=1e-9, err_msg=column)
    assert (run.reasons, run.told) == ([], "every run")


def test_a_row_that_is_measured_seldom_has_the_same_numbers():
    text = CASES["dense"][2]
    every, seldom = Run(text), Run(text + "\nevaluate_every = 5")
    for column in THEORY:
        np.testing.assert_array_equal(seldom.columns[column], every.columns[column][[0, 5, 10, 12]])
    assert seldom.reasons == []


class Spy:
    """Takes what goes through the case's compressor, and the mean that comes."""

    def __init__(self, made):
        self.exchange, self.compressor, self.taken = made.exchange, made.channels.compressor, []
        made.method.exchange = self

    def __call__(self, x, compressor, add_to=None, **ways):
        given = np.array(x)
        own, mean = self.exchange(given, compressor, **ways)
        if compressor is self.compressor:
            self.taken.append((given, mean.copy(), ways.get("active")))
        return own, mean if add_to is None else np.add(add_to, mean, out=add_to)

    def __getattr__(self, name):
        return getattr(self.exchange, name)


def alpha_of(sent, v):
    return 1 - ((sent - v) ** 2).sum() / (v**2).sum()


@pytest.mark.parametrize("spec", ["powersgd:rank=2", "twosided:rows=4,columns=4,scale=contractive"])
def test_of_what_is_allreduced_it_is_the_mean_that_contracts(spec):
    spies = []
    run = Run(f'method = "EF21"\ncompressor = "{spec}"', watch=lambda m: spies.append(Spy(m)))
    alphas = [alpha_of(mean, x.mean(axis=0)) for x, mean, _ in spies[0].taken]
    assert len(alphas) == ROUNDS - 1  # round 0 goes whole
    for column in ("realised_alpha", "realised_alpha_mean"):
        np.testing.assert_allclose(run.columns[column][2:], alphas, rtol=1e-5)
        assert np.isnan(run.columns[column][:2]).all()
    g, gradient = run.made.method.gradient_estimates(), run.made.evaluate.gradient
    assert run.columns["estimate_error"][-1] == pytest.approx(((g - gradient) ** 2).sum())
    assert run.told == "the mean over draws"


def test_silent_workers_do_not_count():
    spies = []
    text = f'method = {{ name = "EF21-PP", probability = 0.4 }}\n{TOPK}'
    run = Run(text, watch=lambda made: spies.append(Spy(made)))
    worst, mean = run.columns["realised_alpha"][2:], run.columns["realised_alpha_mean"][2:]
    some = set()
    for number, (x, _, active) in enumerate(spies[0].taken):
        alphas = [alpha_of(v, w) for v, w in zip(top_k(x, K)[active], x[active], strict=True)]
        some.add(len(alphas))
        if alphas:
            np.testing.assert_allclose(worst[number], np.min(alphas), rtol=1e-9)
            np.testing.assert_allclose(mean[number], np.mean(alphas), rtol=1e-9)
        else:
            assert np.isnan(worst[number]) and np.isnan(mean[number])
    assert {0, 1, 2} <= some


def test_a_method_without_a_theorem_has_the_contraction_alone():
    run = Run(f'method = "EF14"\n{TOPK}')
    assert (run.columns["realised_alpha"][1:] >= K / D).all() and run.told == "none"
    for column in ("estimate_error", "lyapunov", "grad_bound"):
        assert np.isnan(run.columns[column]).all()


def test_beyond_the_theory_s_step_the_bound_is_that_of_the_theory_s():
    whole, far = (Run(f'method = "EF21"\n{TOPK}\nmultiple = {times}') for times in (1, 64))
    np.testing.assert_allclose(far.columns["grad_bound"], whole.columns["grad_bound"], rtol=1e-12)
    assert far.told == f"a smaller stepsize, {whole.made.theory.theorems.descent.gamma:.6g}"


WIRES = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", WIRES[2:])
@pytest.mark.parametrize(
    ("method", "spec"),
    [("GD", f"{name}:wire={wire}") for name in ("identity", "dense") for wire in WIRES]
    + [
        ("EF21", f"{name},wire={wire}")
        for name in ("topk:k=20", "svd:rank=4")
        for wire in WIRES[2:]
    ],
)
def test_round_off_breaks_no_guarantee(dtype, method, spec):
    problem = STRONG if method == "GD" else MATRIX  # down to where f and x cannot tell any more
    head = HEAD.replace("12", "100") + f'evaluate_every = 3\ndtype = "{dtype}"\n{problem}\n'
    run = Run(f'method = "{method}"\ncompressor = "{spec}"', head)
    assert (run.reasons, run.told) == ([], "every run")


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_quadratics_of_which_the_least_value_is_known_keep_the_bound(noise):
    problem = f'{{ name = "quadratic", dimension = 20, noise = {noise}, lambda = 0.01 }}'
    head = f"{HEAD}problem = {problem}\n"
    run = Run('method = "EF21"\ncompressor = "topk:k=4"', head)
    assert (run.reasons, run.told) == ([], "every run")
    mean = np.cumsum(run.columns["grad_norm_sq"])[:-1] / np.arange(1, ROUNDS + 1)
    assert (mean <= run.columns["grad_bound"][1:]).all() and (run.columns["lyapunov"] > 0).all()


class Optimist(TopK):
    """Promises ten times what it has."""

    def promised(self):
        whole = super().promised()
        return replace(whole, alpha=min(1.0, 10 * whole.alpha))


class Boaster(TopK):
    """Promises to leave a hundredth."""

    def promised(self):
        return replace(super().promised(), alpha=0.99)


class Heir(EF21):
    """Speaks for itself alone, and says nothing."""


def test_a_compressor_that_promises_too_much_is_found(monkeypatch):
    compressors.names()
    monkeypatch.setitem(compressors._found, "optimist", Optimist)
    run = Run('method = "EF14"\ncompressor = "optimist:k=5"')
    (reason,) = run.reasons
    assert reason.startswith("the compressor contracts less than it promises: 1 - |C(v) - v|^2")
    first = np.argmax(run.columns["realised_alpha"] < 50 / 112)
    assert f"after round {first - 1}, alpha 0.446429" in reason


FALLS = "the Lyapunov function does not fall as the"


DOWN = 'method = { name = "EF21-BC", downlink = "boaster:k=5" }\ntopology = "server"'


@pytest.mark.parametrize("method", ['method = "EF21"', DOWN])
def test_an_alpha_that_is_too_large_breaks_the_theorem(method, monkeypatch):
    compressors.names()
    monkeypatch.setitem(compressors._found, "boaster", Boaster)
    head = HEAD.replace("12", "200") + MATRIX + "\n"
    run = Run(f'{method}\nmultiple = 0.7\ncompressor = "boaster:k=5"', head)
    assert run.told == "every run"
    assert any(reason.startswith(FALLS) for reason in run.reasons)


def test_an_L_that_is_too_small_is_found(monkeypatch):
    known = MatrixRegression.smoothness

    def too_small(self, mean):
        truth = known(self, mean)
        return replace(truth, L=truth.L / 2.2)

    monkeypatch.setattr(MatrixRegression, "smoothness", too_small)
    run = Run('method = "GD"', HEAD.replace("12", "200") + MATRIX + "\n")
    assert run.reasons and run.reasons[0].startswith(FALLS)


def test_an_f_below_its_bound_breaks_the_theorem(monkeypatch):
    from mpi_lowrank.problems.logistic import LogisticRegression

    monkeypatch.setattr(LogisticRegression, "f_inf", 5.0)
    (reason,) = Run('method = "GD"').reasons
    assert reason.startswith("the method's theorem does not hold: sum |grad f|^2 is")


def test_a_guarantee_is_not_inherited(monkeypatch):
    methods.names()
    monkeypatch.setitem(methods._found, "heir", Heir)
    assert Run(f'method = "heir"\n{TOPK}').told == "none"
    spoken = {name for name in methods.names() if "guarantee" in vars(methods[name])}
    ours = {"EF21", "EF21+", "EF21-PP", "EF21-BC"}
    assert spoken == {"GD", "EF-BV", "DIANA", "MARINA"} | ours
