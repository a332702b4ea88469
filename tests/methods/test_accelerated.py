"""ADIANA and ADEF: Nesterov's method without compression, and their own recursions with it."""

import numpy as np
import pytest
from quadratics import (
    constants_of,
    heterogeneous,
    make,
    make_compressor,
    minimiser,
    run,
    theory_stepsize,
)

from mpi_lowrank.errors import UserError
from mpi_lowrank.methods.base import Constants

WHOLE, TOP3 = ("identity", {}), ("topk", {"k": 3})
UNBIASED = ("randk", {"k": 6, "scale": "unbiased"})  # omega = 1


def ill_conditioned(n=5, d=12):
    """Curvatures from 1e-3 to 1, in common."""
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    H = axes * np.geomspace(1e-3, 1, d) @ axes.T
    return np.repeat(H[np.newaxis], n, axis=0), rng.standard_normal((n, d))


def test_adef_without_compression_is_nesterov_s_method():
    hessians, shifts = heterogeneous()
    H, best, gamma = hessians.mean(axis=0), minimiser(hessians, shifts), 0.1
    method = make("ADEF", WHOLE, gamma, hessians, shifts)
    x = y = np.ones(12)
    theta = 1.0
    for _ in range(50):
        following = y - gamma * H @ (y - best)
        grown = (1 + np.sqrt(1 + 4 * theta**2)) / 2
        y = following + (theta - 1) / grown * (following - x)
        x, theta = following, grown
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-10)


def test_adef_is_its_recursion():
    hessians, shifts = heterogeneous()
    method, gamma = make("ADEF", TOP3, 0.02, hessians, shifts), 0.02
    top = make_compressor(TOP3, 12)

    def C(rows):
        out = np.zeros_like(rows)
        kept = np.argsort(-np.abs(rows), axis=1, kind="stable")[:, : top.k]
        np.put_along_axis(out, kept, np.take_along_axis(rows, kept, 1), 1)
        return out

    A, x, v = 0.0, np.ones(12), np.ones(12)
    g, e = np.zeros((2, 5, 12))
    for t in range(30):
        a = (gamma + np.sqrt(gamma**2 + 4 * gamma * A)) / 2
        y = (A * x + a * v) / (A + a)
        gradients = np.einsum("wij,wj->wi", hessians, y - shifts)
        g += gradients - g if t == 0 else C(gradients - g)
        d = gradients - g - e / a
        D = C(d)
        e = a * (D - d)
        v = v - a * (g + D).mean(axis=0)
        x, A = (A * x + a * v) / (A + a), A + a
        np.testing.assert_allclose(run(method, 1), x, rtol=1e-9, atol=1e-12)
    assert np.abs(e).max() > 1e-3


@pytest.mark.parametrize("spec", [TOP3, ("powersgd", {"rank": 1})])
def test_adef_reaches_the_minimum(spec):
    hessians, shifts = heterogeneous()
    x = run(make("ADEF", spec, 0.01, hessians, shifts), 1500)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-4


def test_adiana_is_its_recursion_with_the_coin_of_every_round_up():
    hessians, shifts = heterogeneous()
    known, gamma = constants_of(hessians), 0.03
    method = make("ADIANA", WHOLE, gamma, hessians, shifts)  # omega = 0: p = 1, two equal messages
    H, best, mu = hessians.mean(axis=0), minimiser(hessians, shifts), known.mu
    theta = min(0.25, np.sqrt(gamma * mu))
    delta = gamma / (2 * (theta + gamma * mu))
    y = z = w = np.ones(12)
    for _ in range(60):
        x = theta * z + w / 2 + (1 / 2 - theta) * y
        following = x - gamma * H @ (x - best)
        z = (1 - delta * mu) * z + delta * mu * x + delta / gamma * (following - x)
        w, y = y, following
        np.testing.assert_allclose(run(method, 1), y, rtol=1e-10)


@pytest.mark.parametrize("spec", [UNBIASED, ("sketch", {"rank": 2, "scale": "unbiased"})])
def test_adiana_is_ahead_of_diana_where_curvatures_differ_a_thousandfold(spec):
    hessians, shifts = ill_conditioned()
    known, best = constants_of(hessians), minimiser(hessians, shifts)
    gap = {}
    for name in ("DIANA", "ADIANA"):
        step = theory_stepsize(name, known, make_compressor(spec, 12))
        gap[name] = np.linalg.norm(run(make(name, spec, step, hessians, shifts), 2000) - best)
    assert gap["ADIANA"] < gap["DIANA"] / 2


def test_both_messages_are_counted():
    hessians, shifts = heterogeneous()
    for name, spec in (("ADEF", TOP3), ("ADIANA", UNBIASED)):
        method = make(name, spec, 0.01, hessians, shifts)
        run(method, 11)
        nbytes = method.compressor.nbytes
        assert method.exchange.uplink_bytes == 12 * 8 + 10 * 2 * nbytes


def test_theory_s_step_of_adiana():
    known = constants_of(heterogeneous()[0])
    own = make_compressor(UNBIASED, 12)
    p = max(1, np.sqrt(5 / 32) - 1) / 4
    expected = 1 / (64 * 1 / 5 * (4 * p + 1) ** 2 * known.L_max)
    assert theory_stepsize("ADIANA", known, own) == pytest.approx(expected)
    whole = theory_stepsize("ADIANA", known, make_compressor(WHOLE, 12))
    assert whole == pytest.approx(1 / (2 * known.L_max))


def test_what_they_cannot_do_is_refused_by_name():
    hessians, shifts = heterogeneous()
    flat = Constants(1.0, np.ones(5))
    with pytest.raises(UserError, match="method ADIANA: rests on the strong convexity"):
        make("ADIANA", UNBIASED, 0.1, hessians, shifts, constants=flat)
    with pytest.raises(UserError, match="method ADIANA: compressor topk is not unbiased"):
        make("ADIANA", TOP3, 0.1, hessians, shifts)
    with pytest.raises(UserError, match="method ADEF: has no theory's stepsize"):
        theory_stepsize("ADEF", flat, make_compressor(TOP3, 12))
