"""Local steps: what they reduce to, FedAvg's floor and the correction that takes it away."""

import numpy as np
import pytest
from cases import assembled, models
from quadratics import heterogeneous, make, make_compressor, minimiser, run, theory_stepsize
from test_methods import CONSTANTS

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods

DIGITS = """
workers = 10
seed = 2
stepsize = "0.5/L"
data = {{ name = "digits", order = "dirichlet", alpha = 0.3 }}
problem = {{ name = "softmax", lambda = 0.01 }}
[[cases]]
method = {method}
compressor = "{compressor}"
"""


def digits(method, compressor):
    return assembled(DIGITS.format(method=method, compressor=compressor))


def table(text):
    """A TOML table of "name(option=1)"."""
    name, _, options = text.removesuffix(")").partition("(")
    return f'{{ name = "{name}"{", " * bool(options)}{options} }}'


@pytest.mark.parametrize(
    ("method", "parent", "compressor"),
    [
        ("SCAFCOM(eta=0.2,batch=4)", "EF21-SGDM(eta=0.2,batch=4)", "sdd:rank=2"),
        ("SCAFCOM(eta=1.0,probability=0.4)", "EF21-PP(probability=0.4)", "topk:k=9"),
        ("SCALLION(alpha=1.0,batch=4)", "EF21-SGD(batch=4)", "natural"),
        ("FedAvg(batch=4)", "SGD(batch=4)", "identity"),
        ("FedAvg", "GD", "identity"),
        ("FedPAQ", "DCGD", "natural"),
        ("FedPAQ(local_steps=3,batch=4)", "FedAvg(local_steps=3,batch=4)", "identity"),
    ],
)
def test_at_its_neutral_parameters_a_method_is_its_parent_to_the_bit(method, parent, compressor):
    x = models(digits(table(method), compressor), 8)
    np.testing.assert_array_equal(x, models(digits(table(parent), compressor), 8))


def test_fedavg_is_the_mean_of_the_workers_ways():
    hessians, shifts = heterogeneous()
    x, gamma, K = np.ones(12), 0.3, 4
    method = make("FedAvg", ("identity", {}), gamma, hessians, shifts, local_steps=K)
    for _ in range(3):
        ways = np.repeat(x[np.newaxis], 5, axis=0)
        for _ in range(K):
            ways = ways - gamma / K * np.einsum("wij,wj->wi", hessians, ways - shifts)
        x = ways.mean(axis=0)
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-12)


def test_scafcom_is_its_recursion():
    hessians, shifts = heterogeneous()
    gamma, K, eta, reach = 0.3, 3, 0.4, 0.5
    options = {"local_steps": K, "eta": eta, "reach": reach}
    method = make("SCAFCOM", ("identity", {}), gamma, hessians, shifts, **options)
    x, v, c = np.ones(12), None, np.zeros((5, 12))
    for _ in range(4):
        ways, total = np.repeat(x[np.newaxis], 5, axis=0), 0
        for _ in range(K):
            gradients = np.einsum("wij,wj->wi", hessians, ways - shifts)
            ways = ways - reach * gamma / K * (gradients - c + c.mean(axis=0))
            total = total + gradients / K
        v = total if v is None else (1 - eta) * v + eta * total
        c = v  # nothing is lost
        x = x - gamma * c.mean(axis=0)
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-11)


def test_scallion_moves_its_estimates_by_a_share_of_what_is_new():
    hessians, shifts = heterogeneous()
    whole = ("identity", {})
    method = make("SCALLION", whole, 0.1, hessians, shifts, alpha=0.25, g0="compressed")
    x, c = np.ones(12), np.zeros((5, 12))
    for _ in range(4):
        c = c + 0.25 * (np.einsum("wij,wj->wi", hessians, x - shifts) - c)
        x = x - 0.1 * c.mean(axis=0)
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-12)
    natural = make("SCALLION", ("natural", {}), 0.1, hessians, shifts)
    assert natural._share == pytest.approx(8 / 9)  # omega = 1/8


def test_fedavg_stops_where_workers_differ_and_a_correction_takes_the_floor_away():
    hessians, shifts = heterogeneous()
    best = minimiser(hessians, shifts)

    def error(name, spec, **options):
        method = make(name, spec, 0.1, hessians, shifts, local_steps=5, **options)
        return np.linalg.norm(run(method, 3000) - best)

    floor = error("FedAvg", ("identity", {}))
    half = error("FedAvg", ("identity", {}), reach=0.5)
    assert floor > 1e-2 and floor / half == pytest.approx(2, rel=0.1)
    assert error("SCAFCOM", ("topk", {"k": 4}), eta=1.0) < 1e-9
    assert error("SCALLION", ("natural", {})) < 1e-9


def test_silent_workers_keep_their_momentum_and_their_estimates():
    hessians, shifts = heterogeneous(n=8)
    method = make("SCAFCOM", ("topk", {"k": 4}), 0.05, hessians, shifts, probability=0.4, eta=0.5)
    run(method, 1)
    for t in range(1, 6):
        kept = method._followed.copy(), method._estimates.copy()
        active = method.active(t)
        run(method, 1)
        assert 0 < active.sum() < 8
        for before, after in zip(kept, (method._followed, method._estimates), strict=True):
            np.testing.assert_array_equal((before != after).any(axis=1), active)
    x = run(method, 6000)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-8


def test_fedavg_takes_the_mean_of_those_that_take_part():
    hessians, shifts = heterogeneous(n=8)
    method = make("FedAvg", ("identity", {}), 0.2, hessians, shifts, probability=0.3)
    x = np.ones(12)
    for t in range(6):
        speaking = method.taking_part(t)
        gradients = np.einsum("wij,wj->wi", hessians, x - shifts)[speaking]
        x = x - 0.2 * gradients.mean(axis=0) if speaking.any() else x
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-12)


def test_nobody_takes_part_and_nothing_moves():
    hessians, shifts = heterogeneous()
    method = make("FedAvg", ("identity", {}), 0.2, hessians, shifts, probability=1e-9)
    np.testing.assert_array_equal(run(method, 3), np.ones(12))
    assert method.exchange.uplink_bytes == 0


def test_each_local_step_has_a_batch_of_its_own():
    made = digits('{ name = "FedAvg", local_steps = 3, batch = 4 }', "identity")
    drawn, gradients = [], made.method.gradients
    made.method.gradients = lambda x, b=None: (drawn.append(b.rows.copy()), gradients(x, b))[1]
    models(made, 1)
    assert len(drawn) == 3 and (drawn[0] != drawn[1]).any() and (drawn[1] != drawn[2]).any()


def test_dion_without_momentum_is_ef14_and_without_compression_heavy_ball():
    case = 'workers = 5\nstepsize = 0.125\n[[cases]]\nmethod = {}\ncompressor = "{}"\n'
    for compressor in ("topk:k=9,wire=float64", "powersgd:rank=1,wire=float64"):
        dion = models(assembled(case.format('{ name = "Dion", mu = 0.0 }', compressor)), 12)
        ef14 = models(assembled(case.format('"EF14"', compressor)), 12)
        np.testing.assert_array_equal(dion, ef14)  # gamma is a power of two
    whole = "identity:wire=float64"
    dion = models(assembled(case.format('{ name = "Dion", mu = 0.7 }', whole)), 12)
    ball = case.format('"GD"', whole) + 'step = { name = "heavy_ball", beta = 0.7 }'
    np.testing.assert_allclose(dion, models(assembled(ball), 12), rtol=1e-12)


def test_orth_dion_is_powersgd_s_polar_factor_of_what_was_kept():
    text = """
    workers = 4
    stepsize = 0.1
    data = "digits"
    problem = { name = "softmax" }
    [[cases]]
    method = { name = "Dion", batch = 8 }
    compressor = "powersgd:rank=3,basis=warm"
    step = "muon"
    """
    made = assembled(text)
    x = made.method.x.copy()
    moved = (x - models(made, 1)[0]).reshape(64, 10)
    np.testing.assert_allclose(np.linalg.svd(moved)[1], [0.1] * 3 + [0] * 7, atol=1e-7)


def test_stepsizes_are_those_of_the_parents_or_none():
    compressor = make_compressor(("topk", {"k": 1}), 3)
    parent = theory_stepsize("EF21-SGDM", CONSTANTS, compressor, eta=0.5)
    assert theory_stepsize("SCAFCOM", CONSTANTS, compressor, eta=0.5) == parent
    whole = make_compressor(("identity", {}), 3)
    assert theory_stepsize("FedAvg", CONSTANTS, whole) == pytest.approx(6 / 103)
    for name, options in [
        ("SCAFCOM", {"local_steps": 2}),
        ("SCAFCOM", {"probability": 0.5}),
        ("FedAvg", {"local_steps": 2}),
        ("FedAvg", {"probability": 0.5}),
        ("SCALLION", {}),
        ("Dion", {}),
    ]:
        with pytest.raises(UserError, match="set"):
            theory_stepsize(name, CONSTANTS, compressor, **options)


def test_what_is_not_admitted_is_told():
    with pytest.raises(UserError, match="each one's estimate"):
        methods["SCAFCOM"].admit(make_compressor(("sketch", {}), 12))
    with pytest.raises(UserError, match="not unbiased"):
        methods["SCALLION"].admit(make_compressor(("topk", {"k": 1}), 12))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FedAvg", {"local_steps": 0}),
        ("SCAFCOM", {"reach": -1.0}),
        ("SCAFCOM", {"probability": 0.0}),
        ("SCALLION", {"alpha": 1.5}),
        ("Dion", {"mu": 1.0}),
    ],
)
def test_an_impossible_option_is_refused(name, options):
    with pytest.raises(OptionError, match=f"{next(iter(options))} = "):
        methods[name].check(methods[name].filled(options))
