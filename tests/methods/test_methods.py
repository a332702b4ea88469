import numpy as np
import pytest
from admitted import admits
from quadratics import (
    constants_of,
    heterogeneous,
    make,
    make_compressor,
    minimiser,
    one_process,
    run,
    theory_stepsize,
)

from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import UserError
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, xi
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.validity import check_bytes
from mpi_lowrank.run.watch import Estimate, FirstRounds

# Beznosikov et al. 2020, example 1: three quadratics with one minimiser on which Top-1 diverges.
ROWS = np.array([[-3.0, 2, 2], [2, -3, 2], [2, 2, -3]])
EXAMPLE = np.array([2 * np.outer(a, a) + 0.5 * np.eye(3) for a in ROWS])
CONSTANTS = Constants(103 / 6, np.full(3, 34.5))


def rounds_to(method, gradient, tolerance, limit):
    for t in range(limit):
        if np.linalg.norm(gradient(method.x)) < tolerance:
            return t
        run(method, 1)
    return limit


def test_dcgd_with_top_1_diverges_at_the_closed_form_s_rate():
    gamma = 0.05
    method = make("DCGD", ("topk", {"k": 1}), gamma, EXAMPLE)
    x = run(method, 5)
    np.testing.assert_allclose(x, (1 + 11 * gamma / 6) ** 5 * np.ones(3), rtol=1e-14)


def test_theory_stepsize_on_the_example():
    compressor = make_compressor(("topk", {"k": 1}), 3)
    gamma = theory_stepsize("EF21", CONSTANTS, compressor)
    assert gamma == pytest.approx(0.00585912, abs=5e-9)
    assert theory_stepsize("GD", CONSTANTS, compressor) == pytest.approx(6 / 103)


@pytest.mark.parametrize(("name", "expected"), [("EF21", 2774), ("EF14", 2769)])
def test_error_feedback_converges_on_the_example_in_the_known_number_of_rounds(name, expected):
    options = {"g0": "compressed"} if name == "EF21" else {}
    x0 = np.array([1.0, 1.0, 1.0])
    method = make(name, ("topk", {"k": 1}), 0.00585912, EXAMPLE, x0=x0, **options)
    needed = rounds_to(method, lambda x: EXAMPLE.mean(axis=0) @ x, 1e-8, 4000)
    assert abs(needed - expected) <= 10


@pytest.mark.parametrize("alpha", [1.0, 1 / 3, 0.1, 0.01])
def test_xi_is_the_root_of_beta_over_theta(alpha):
    theta = 1 - np.sqrt(1 - alpha)
    beta = (1 - alpha) / theta
    assert xi(alpha) == pytest.approx(np.sqrt(beta / theta), rel=1e-12)
    assert xi(alpha) <= 2 / alpha - 1


@pytest.mark.parametrize("name", ["DCGD", "EF14", "EF21"])
@pytest.mark.parametrize("spec", [("identity", {}), ("topk", {"k": 12}), ("svd", {"rank": 3})])
def test_without_compression_every_method_is_gradient_descent(name, spec):
    hessians, shifts = heterogeneous()
    x = run(make(name, spec, 0.1, hessians, shifts), 40)
    expected = run(make("GD", ("identity", {}), 0.1, hessians, shifts), 40)
    np.testing.assert_allclose(x, expected, rtol=1e-12, atol=1e-13)


def test_ef21_reaches_the_minimum_of_different_workers_where_ef14_and_dcgd_stop():
    hessians, shifts = heterogeneous()
    best = minimiser(hessians, shifts)
    spec = ("topk", {"k": 2})
    constants = constants_of(hessians)
    gamma = 4 * theory_stepsize("EF21", constants, make_compressor(spec, 12))
    error = {
        name: np.linalg.norm(run(make(name, spec, gamma, hessians, shifts), 6000) - best)
        for name in ("DCGD", "EF14", "EF21")
    }
    assert error["EF21"] < 1e-10 < 1e-4 < error["EF14"] < error["DCGD"]


def test_ef14_floor_falls_by_four_when_the_stepsize_halves():
    hessians, shifts = heterogeneous()
    best, H = minimiser(hessians, shifts), hessians.mean(axis=0)

    def floor(gamma):
        method = make("EF14", ("topk", {"k": 2}), gamma, hessians, shifts)
        run(method, int(200 / gamma))
        gaps = [run(method, 1) - best for _ in range(2000)]
        return np.mean([gap @ H @ gap for gap in gaps])

    assert floor(0.01) / floor(0.005) == pytest.approx(4, rel=0.15)


def test_ef14_follows_exact_descent_in_its_virtual_iterate():
    hessians, shifts = heterogeneous()
    method = make("EF14", ("topk", {"k": 2}), 0.05, hessians, shifts)
    virtual = method.x.copy()
    for _ in range(50):
        virtual -= 0.05 * method.gradients(method.x).mean(axis=0)
        run(method, 1)
    np.testing.assert_allclose(method.x - method._errors.mean(axis=0), virtual, atol=1e-14)


def test_ef21_keeps_g_the_mean_of_the_workers_g_i():
    hessians, shifts = heterogeneous()
    for spec in [("topk", {"k": 2}), ("svd", {"rank": 1}), ("randk", {"k": 3})]:
        method = make("EF21", spec, 0.02, hessians, shifts)
        run(method, 200)
        estimates, estimate = method.estimate_error()
        np.testing.assert_allclose(estimate, estimates.mean(axis=0), atol=1e-13)


def test_ef21_lyapunov_function_falls_every_round_at_the_pl_stepsize():
    d, n, mu, L = 3, 3, 7 / 6, 103 / 6
    alpha = 1 / d
    theta = 1 - np.sqrt(1 - alpha)
    gamma = min(1 / (L + 34.5 * np.sqrt(2) * xi(alpha)), theta / (2 * mu))
    assert gamma == pytest.approx(0.00426878, abs=5e-9)
    method = make("EF21", ("topk", {"k": 1}), gamma, EXAMPLE, x0=np.array([1.0, -2, 0.5]))
    H = EXAMPLE.mean(axis=0)

    def lyapunov(x):
        gap = method._estimates - np.einsum("wij,j->wi", EXAMPLE, x)
        return x @ H @ x / 2 + gamma / theta * (gap**2).sum() / n

    values = []
    for _ in range(200):
        x = method.x.copy()
        run(method, 1)
        values.append(lyapunov(x))
    ratios = np.divide(values[1:], values[:-1])
    assert ratios.max() <= 1 - gamma * mu


def test_a_markov_compressor_is_exact_on_a_frozen_vector_after_d_over_k_rounds():
    rng = np.random.default_rng(0)
    target = rng.standard_normal((2, 12))
    compressor = make_compressor(("topk", {"k": 5}), 12)
    exchange, g = one_process(2, 12), np.zeros((2, 12))
    exchange.prepare(compressor)
    errors = [(target**2).sum()]
    for _ in range(3):
        own, _ = exchange(target - g, compressor)
        g += own
        errors.append(((target - g) ** 2).sum())
        assert errors[-1] <= (1 - compressor.alpha) * errors[-2]
    assert errors[-1] == 0


def test_workers_with_the_same_function_are_one_worker():
    hessians, shifts = heterogeneous(n=1)
    one = run(make("EF21", ("topk", {"k": 3}), 0.05, hessians, shifts), 100)
    repeated = np.repeat(hessians, 4, axis=0), np.repeat(shifts, 4, axis=0)
    four = run(make("EF21", ("topk", {"k": 3}), 0.05, *repeated), 100)
    np.testing.assert_allclose(four, one, rtol=1e-12)


def test_a_compressor_without_contraction_has_no_theory_stepsize():
    compressor = make_compressor(("randk", {"k": 2, "scale": "unbiased"}), 12)
    with pytest.raises(UserError, match="alpha"):
        theory_stepsize("EF21", CONSTANTS, compressor)


def test_dcgd_s_stepsize_with_an_unbiased_compressor_rests_on_omega():
    own = make_compressor(("randk", {"k": 2, "scale": "unbiased"}), 12)  # omega = 5
    step = theory_stepsize("DCGD", CONSTANTS, own)
    assert step == pytest.approx(1 / ((1 + 2 * 5 / 3) * 34.5))
    shared = make_compressor(("sketch", {"rank": 2, "scale": "unbiased"}), 12)  # c = 4
    step = theory_stepsize("DCGD", CONSTANTS, shared)
    assert step == pytest.approx(6 / 103 / 2)


def test_dcgd_reaches_the_minimum_with_a_shared_unbiased_sketch_and_stalls_with_own_draws():
    hessians, shifts = heterogeneous()
    best = minimiser(hessians, shifts)
    constants = constants_of(hessians)
    error = {}
    for name, options in (("sketch", {"rank": 2}), ("randk", {"k": 6})):
        spec = (name, options | {"scale": "unbiased"})
        step = theory_stepsize("DCGD", constants, make_compressor(spec, 12))
        error[name] = np.linalg.norm(run(make("DCGD", spec, step, hessians, shifts), 4000) - best)
    # The shared sketch compresses the mean gradient, which vanishes; own draws do not cancel.
    assert error["sketch"] < 1e-9 < 1e-3 < error["randk"]


def test_partial_participation_of_everybody_is_ef21_to_the_bit():
    hessians, shifts = heterogeneous()
    spec = ("topk", {"k": 2})
    x = run(make("EF21-PP", spec, 0.02, hessians, shifts, probability=1.0), 100)
    np.testing.assert_array_equal(x, run(make("EF21", spec, 0.02, hessians, shifts), 100))


def test_partial_participation_reaches_the_minimum_and_keeps_g_the_mean():
    hessians, shifts = heterogeneous()
    spec = ("topk", {"k": 4})
    method = make("EF21-PP", spec, 0.02, hessians, shifts, probability=0.4)
    x = run(method, 8000)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-8
    estimates, estimate = method.estimate_error()
    np.testing.assert_allclose(estimate, estimates.mean(axis=0), atol=1e-13)


def test_partial_participation_refuses_what_would_leave_it_a_floor(monkeypatch):
    hessians, shifts = heterogeneous()
    with pytest.raises(UserError, match="EF21-PP: compressor sketch tells of the workers' mean"):
        make("EF21-PP", ("sketch", {}), 0.02, hessians, shifts)
    monkeypatch.setattr(methods["EF21-PP"], "admit", methods["EF21"].admit)
    best, error = minimiser(hessians, shifts), {}
    for probability in (1.0, 0.4):
        method = make("EF21-PP", ("sketch", {}), 0.02, hessians, shifts, probability=probability)
        error[probability] = np.linalg.norm(run(method, 8000) - best)
    assert error[1.0] < 1e-8 < 1e-2 < error[0.4]


def test_partial_participation_s_stepsize_has_alpha_times_the_probability():
    compressor = make_compressor(("topk", {"k": 1}), 3)
    step = theory_stepsize("EF21-PP", CONSTANTS, compressor, probability=0.3)
    assert step == pytest.approx(1 / (103 / 6 + 34.5 * xi(0.1)))


def test_bidirectional_compression_with_the_identity_down_is_ef21():
    hessians, shifts = heterogeneous()
    spec, down = ("topk", {"k": 2}), Choice("identity")
    x = run(make("EF21-BC", spec, 0.02, hessians, shifts, downlink=down), 300)
    expected = run(make("EF21", spec, 0.02, hessians, shifts), 300)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)


def test_bidirectional_compression_reaches_the_minimum():
    hessians, shifts = heterogeneous()
    down = Choice("topk", {"k": 4})
    method = make("EF21-BC", ("topk", {"k": 4}), 0.02, hessians, shifts, downlink=down)
    assert np.linalg.norm(run(method, 8000) - minimiser(hessians, shifts)) < 1e-9


SHARED_SPECS = [
    ("dense", {}),
    ("powersgd", {"rank": 1}),
    ("powersgd", {"rank": 2, "basis": "warm"}),
    ("powersgd", {"rank": 1, "basis": "svd", "refresh": 3}),
    ("alternating", {"rank": 2}),
    ("sketch", {"rank": 2}),
    ("sketch", {"rank": 2, "kind": "gaussian"}),
]


@pytest.mark.parametrize("spec", SHARED_SPECS)
def test_ef21_with_a_shared_compressor_is_ef21_of_one_worker_with_the_mean_function(spec):
    hessians, shifts = heterogeneous()
    one = hessians.mean(axis=0)[np.newaxis], minimiser(hessians, shifts)[np.newaxis]
    x = run(make("EF21", spec, 0.02, hessians, shifts), 50)
    np.testing.assert_allclose(x, run(make("EF21", spec, 0.02, *one), 50), rtol=0, atol=1e-11)


@pytest.mark.parametrize("spec", SHARED_SPECS)
def test_ef21_with_a_shared_compressor_reaches_the_minimum(spec):
    hessians, shifts = heterogeneous()
    method = make("EF21", spec, 0.02, hessians, shifts)
    assert np.linalg.norm(run(method, 6000) - minimiser(hessians, shifts)) < 1e-9


def test_a_shared_compressor_s_stepsize_comes_from_L_alone():
    compressor = make_compressor(("sketch", {"rank": 1}), 12)
    expected = 1 / (CONSTANTS.L * (1 + xi(compressor.alpha)))
    assert theory_stepsize("EF21", CONSTANTS, compressor) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fresh", "stuck"), [(0, True), (1, False)], ids=["stale basis", "one fresh column"]
)
def test_a_stale_basis_stays_stuck_for_ever_and_one_fresh_column_frees_it(fresh, stuck):
    # f = |X - T|^2 / 2, T of rank 3 on the first axes, the basis on the last two.
    m, c = 8, 10
    target = np.zeros((m, c))
    target[range(3), range(3)] = 3
    spec = ("powersgd", {"rank": 2, "fresh_columns": fresh, "shape": (m, c)})
    hessians = np.eye(m * c)[np.newaxis]
    shifts, x0 = target.reshape(1, -1), np.zeros(m * c)
    method = make("DCGD", spec, 1.0, hessians, shifts, x0)
    method.compressor._basis[:] = np.eye(c)[:, -2:]
    method.compressor._rounds += 1  # else the first basis is drawn
    x = run(method, 300)
    f = ((x - target.ravel()) ** 2).sum() / 2
    assert f == 13.5 if stuck else f < 1e-20


def test_what_a_configuration_may_leave_out():
    assert methods["EF21-PP"].options["probability"].default == 0.5
    for name in ("EF21", "EF21-PP", "EF21-BC"):
        assert methods[name].options["g0"].default == "dense"


EIGEN = {"hessian": Choice("eigen", {})}

OPTIONS = {
    "EF21-BC": {"downlink": Choice("topk", {"k": 4})},
    "EF21-PP": {"probability": 0.5},
    **{name: EIGEN for name in ("FedNL", "FedNL-LS", "FedNL-PP")},
    "FedNL-BC": EIGEN | {"downlink": Choice("topk", {"k": 4})},
}


def reasons_after(method, rounds=8):
    """What a run's own checks find after so many rounds."""
    exchange = method.exchange
    first, estimate = FirstRounds(method, exchange), Estimate(method, exchange.door, 5)
    estimate.scale[()] = np.sqrt(np.mean(np.sum(method.gradients(method.x) ** 2, axis=1)))
    for t in range(rounds):
        first.round_begun(t)
        run(method, 1)
        first.round_done(t + 1)
        estimate.round_done(t + 1)
    return check_bytes(exchange.door, exchange) + first.check() + estimate.check()


WALKED = [
    (name, spec)
    for name in methods.names()
    for spec in ("topk:k=3", "sketch:rank=1", "natural", "permk:copies=2", "identity:wire=float64")
    if admits(name, spec, 12, 5) and (methods[name].needs_compressor or spec.startswith("identity"))
]


@pytest.mark.parametrize(("name", "spec"), WALKED)
def test_every_method_passes_a_run_s_own_checks(name, spec):
    choice = read_spec(spec)
    given = choice.name, dict(choice.options)
    method = make(name, given, 0.02, *heterogeneous(), **OPTIONS.get(name, {}))
    assert reasons_after(method) == []


@pytest.mark.parametrize("name", ["EF21", "EF21-PP"])
def test_a_method_whose_g_i_are_not_what_workers_sent_is_found_out(name, monkeypatch):
    exchange = Exchange.__call__

    def doubled(self, *given, add_to=None, **options):
        own, mean = exchange(self, *given, **options)
        return 2 * own, 2 * mean if add_to is None else np.add(add_to, 2 * mean, out=add_to)

    monkeypatch.setattr(Exchange, "__call__", doubled)
    method = make(name, ("topk", {"k": 3}), 0.02, *heterogeneous(), **OPTIONS.get(name, {}))
    (reason,) = reasons_after(method)
    assert reason.startswith("g_i does not move by what worker i sends")
