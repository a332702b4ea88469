"""FedNL and its relatives: their neutral parameters, their bytes, their known rounds."""

import numpy as np
import pytest
from known_rounds import carried_out, measured, rounds_to
from quadratics import constants_of, heterogeneous, make, minimiser, run

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants
from mpi_lowrank.registry import Choice

CASE = """
workers = 20
rounds = 40
x0 = "{x0}"
topology = "{topology}"
problem = {{ name = "logistic", regularizer = "l2", lambda = 1e-3 }}
[[cases]]
method = {{ name = "{name}", hessian = "{hessian}"{options} }}
compressor = {{ name = "identity", wire = "{wire}" }}
"""


def case(name, hessian, x0="zeros", options="", wire="float32", topology="allgather"):
    names = "name", "hessian", "x0", "options", "wire", "topology"
    given = name, hessian, x0, options and f", {options}", wire, topology
    return dict(zip(names, given, strict=True))


EXACT = 'h0 = "exact"'

KNOWN = [
    (case("FedNL", "identity", options=EXACT), [2, 6, 9, 11, 12], 0),
    (case("FedNL", "eigen", options=EXACT), [2, 7, 17], 0),
    (case("FedNL", "eigen:rank=4", options=EXACT), [2, 6, 10], 1),
    (case("FedNL", "eigen", options=EXACT + ', correction = "shift"'), [3, 22], 1),
    (case("FedNL", "eigen", options='correction = "shift"'), [7, 26], 1),
    (case("FedNL-LS", "eigen", "normal"), [9, 16, 24], 1),
    (case("FedNL-LS", "symmetric_sdd", "normal"), [3, 15], 3),
    (case("FedNL-PP", "eigen", options=EXACT + ", probability = 1.0"), [2, 20], 1),
]
"""Rounds to |grad f|^2 <= 1e-2, 1e-4, ... on mushrooms, as another implementation has them."""


@pytest.mark.parametrize(("given", "expected", "tolerance"), KNOWN)
def test_rounds_on_mushrooms(given, expected, tolerance):
    levels = [1e-2, 1e-4, 1e-6, 1e-10, 1e-14][: len(expected)]
    found = rounds_to(levels, CASE, **given)
    assert np.abs(np.subtract(found, expected)).max() <= tolerance, found


def local_hessian(made):
    out = np.zeros((20, 112, 112))
    made.ground.problem.hessians(made.method.x, out)
    return out.mean(axis=0)


def local_gradient(made):
    out = np.zeros((20, 112))
    made.ground.problem.gradients(made.method.x, out)
    return out.mean(axis=0)


def test_with_the_identity_it_is_newton_with_the_hessian_of_the_round_before():
    exact = case("FedNL", "identity:wire=float64", options=EXACT, wire="float64")
    hessians, points = [], [np.zeros(112)]
    for t, made in carried_out(CASE, **exact):
        np.testing.assert_allclose(made.method.x, points[-1], rtol=0, atol=1e-4 * 0.1**t)
        if t == 5:
            break
        hessians.append(local_hessian(made))
        newton_step = np.linalg.solve(hessians[max(t - 1, 0)], local_gradient(made))
        points.append(made.method.x - newton_step)


def test_without_a_line_search_it_diverges_from_where_a_line_search_arrives():
    for name, arrives in (("FedNL-LS", True), ("FedNL", False)):
        norms = []
        for t, made in carried_out(CASE, **case(name, "symmetric_sdd", "normal")):
            norms.append(measured(made, t).grad_norm_sq)
            if t == 15:
                break
        assert (norms[-1] < 2e-4) == arrives


def test_a_line_search_never_lets_f_rise():
    losses = []
    for t, made in carried_out(CASE, **case("FedNL-LS", "eigen", "normal")):
        losses.append(measured(made, t).loss)
        if t == 15:
            break
    assert (np.diff(losses) < 0).all()


IDENTITY = Choice("identity", {"wire": "float64"})


def newton(name, **options):
    return make(name, ("identity", {}), 1.0, *heterogeneous(), **options)


@pytest.mark.parametrize("name", ["FedNL", "FedNL-LS", "FedNL-BC", "FedNL-PP"])
def test_on_quadratics_the_exact_hessians_lead_to_the_minimum_at_once(name):
    down = {"downlink": IDENTITY} if name == "FedNL-BC" else {}
    method = newton(name, hessian=IDENTITY, h0="exact", **down)
    np.testing.assert_allclose(run(method, 2), minimiser(*heterogeneous()), atol=1e-6)
    hessians = heterogeneous()[0]
    np.testing.assert_allclose(method.matrix(), hessians.mean(axis=0), atol=1e-12)


def test_a_line_search_that_takes_every_whole_step_is_fednl_to_the_bit():
    given = {"hessian": Choice("eigen", {}), "h0": "exact"}
    plain, searched = (run(newton(name, **given), 6) for name in ("FedNL", "FedNL-LS"))
    np.testing.assert_array_equal(plain, searched)


@pytest.mark.parametrize("correction", ["project", "shift"])
def test_the_identity_down_and_a_coin_that_always_falls_alike_make_fednl_to_the_bit(correction):
    given = {"hessian": Choice("eigen", {}), "correction": correction}
    expected = run(newton("FedNL", **given), 6)
    found = run(newton("FedNL-BC", downlink=IDENTITY, **given), 6)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_bidirectional_compression_arrives_with_few_gradients():
    options = 'downlink = "topk:k=28", probability = 0.5, correction = "shift"'
    given = case("FedNL-BC", "eigen:rank=4", options=options, topology="server")
    for t, made in carried_out(CASE, **given):
        norm = measured(made, t).grad_norm_sq
    assert norm < 1e-5
    gradients = (made.exchange.uplink_bytes - t * (4 * 449 - 3 + 8)) / 448
    assert 10 <= gradients == int(gradients) <= 30
    assert made.exchange.downlink_bytes == t * (28 * 4 + 25)


def test_who_takes_no_part_sends_nothing_and_keeps_what_is_known_of_him():
    method = newton("FedNL-PP", hessian=Choice("eigen", {}), probability=0.4)
    run(method, 1)
    sent, known = method.exchange.uplink_bytes, method._learned.copy()
    run(method, 1)
    silent = (method._learned == known).all(axis=1)
    assert 0 < silent.sum() < 5
    message = 12 * 8 + (12 * 8 + 1) + 8  # g_i, one eigenvector and its sign, l_i
    spoken = (method.exchange.uplink_bytes - sent) / message
    assert spoken == pytest.approx((5 - silent.sum()) / 5)


def test_partial_participation_reaches_the_minimum_and_keeps_the_means():
    method = newton("FedNL-PP", hessian=Choice("eigen", {}), probability=0.4)
    np.testing.assert_allclose(run(method, 250), minimiser(*heterogeneous()), atol=1e-8)
    estimates, estimate = method.estimate_error()
    np.testing.assert_allclose(estimates.mean(axis=0), estimate, atol=1e-12)
    np.testing.assert_allclose(method._learned.mean(axis=0), method._mean_learned, atol=1e-12)


def test_every_byte_is_counted_trial_points_too():
    counts = []
    for t, made in carried_out(CASE, **case("FedNL-LS", "eigen", "normal")):
        counts.append(made.exchange.uplink_bytes)
        if t == 12:
            break
    numbers = (np.diff(counts) - 448 - 449) / 8
    assert (numbers >= 2).all() and numbers[0] > 2 and (numbers == numbers.astype(int)).all()
    rounds = carried_out(CASE, **case("FedNL", "symmetric_sdd", options=EXACT))
    counts = [next(rounds)[1].exchange.uplink_bytes for _ in range(3)]
    assert counts == [0, 448 + 4 * 6328, 2 * 448 + 4 * 6328 + 25]


def test_the_theory_s_learning_rate_is_of_the_compressor():
    rates = {}
    for compressor in (("eigen", {"rank": 3}), ("natural", {}), ("topk", {"k": 39})):
        method = newton("FedNL", hessian=Choice(*compressor), learning="theory")
        rates[compressor[0]] = method._rate
        assert run(method, 1) is not None
    contractive = 1 - np.sqrt(1 - 3 / 12), 1 - np.sqrt(1 - 39 / 78)
    assert rates["eigen"] == pytest.approx(contractive[0])
    assert rates["topk"] == pytest.approx(contractive[1])
    assert rates["natural"] == pytest.approx(8 / 9)


def test_what_is_refused():
    constants = Constants(1.0, np.ones(5))
    with pytest.raises(OptionError, match="the problem tells none"):
        newton("FedNL", hessian=IDENTITY, constants=constants)
    newton("FedNL", hessian=IDENTITY, constants=constants, mu=0.1)
    unknown = Choice("randk", {"k": 3, "scale": "unbiased"})
    newton("FedNL", hessian=unknown, learning="theory")
    none = Choice("qsgd", {"levels": 1, "rounding": "nearest"})
    with pytest.raises(UserError, match='set learning = "one"'):
        newton("FedNL", hessian=none, learning="theory")
    for name, options in (("FedNL", {"mu": 0.0}), ("FedNL-PP", {"probability": 0.0})):
        kind = methods[name]
        with pytest.raises(OptionError):
            kind.check(kind.filled({"hessian": IDENTITY} | options))


def test_eigenvalues_are_lifted_to_the_strong_convexity_that_is_known():
    hessians, _ = heterogeneous()
    method, vector = newton("FedNL", hessian=Choice("eigen", {})), np.arange(12.0)
    np.testing.assert_allclose(
        method.inverse_times(vector, 0.0), vector / constants_of(hessians).mu, rtol=1e-12
    )
