"""Scaffnew, CompressedScaffnew and LoCoDL: parents, invariants, refusals, known rounds."""

import numpy as np
import pytest
from known_rounds import rounds_to
from quadratics import constants_of, heterogeneous, make, minimiser, run

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants

WHOLE = ("identity", {})
UNBIASED = ("randk", {"k": 6, "scale": "unbiased"})  # omega = 1

L2 = """
workers = 20
rounds = 400
problem = {{ name = "logistic", regularizer = "l2", lambda = 1e-3 }}
[[cases]]
method = {{ name = "{method}", p = {p} }}
compressor = "{compressor}"
multiple = {multiple}
"""


def copies(s):
    return ("permk", {"copies": s})


def walks(name, spec=WHOLE, rounds=60, gamma=0.02, **options):
    return run(make(name, spec, gamma, *heterogeneous(), **options), rounds)


@pytest.mark.parametrize("spec", [WHOLE, ("dense", {})])
def test_scaffnew_whose_coin_falls_at_once_is_gradient_descent(spec):
    x = walks("Scaffnew", spec, p=1.0)
    np.testing.assert_allclose(x, walks("GD"), rtol=1e-12, atol=1e-13)


def test_compressed_scaffnew_of_all_copies_is_scaffnew():
    x = walks("CompressedScaffnew", copies(5), p=0.2)
    np.testing.assert_allclose(x, walks("Scaffnew", p=0.2), rtol=1e-11, atol=1e-12)


def test_scaffnew_is_proxskip():
    hessians, shifts = heterogeneous()
    gamma, p = 0.05, 0.3
    method = make("Scaffnew", WHOLE, gamma, hessians, shifts, p=p)
    x, h = np.ones((5, 12)), np.zeros((5, 12))
    for t in range(20):
        for _ in range(method._coin.at(t).geometric(p)):
            x = x - gamma * (np.einsum("wij,wj->wi", hessians, x - shifts) - h)
        mean = x.mean(axis=0)
        h += p / gamma * (mean - x)
        x[:] = mean
        np.testing.assert_allclose(run(method, 1), mean, rtol=1e-10)
    np.testing.assert_allclose(method._controls, h, rtol=1e-8, atol=1e-12)


def test_locodl_is_its_recursion():
    """Without compression: rho = chi = 1, so x_i = y + d; both halves of mu |x|^2 / 2."""
    hessians, shifts = heterogeneous()
    gamma, p, mu = 0.05, 0.3, constants_of(hessians).mu
    method = make("LoCoDL", WHOLE, gamma, hessians, shifts, p=p)
    x, u, y, v = np.ones((5, 12)), np.zeros((5, 12)), np.ones(12), np.zeros(12)
    for t in range(20):
        for _ in range(method._coin.at(t).geometric(p)):
            slopes = np.einsum("wij,wj->wi", hessians, x - shifts) - mu / 2 * x
            x, y = x - gamma * slopes + gamma * u, y - gamma * mu / 2 * y + gamma * v
        d = x - y
        half = d.mean(axis=0) / 2
        x = np.tile(y + half, (5, 1))
        y = y + half
        u, v = u + p / gamma * (half - d), v + p / gamma * half
        np.testing.assert_allclose(run(method, 1), y, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("Scaffnew", WHOLE),
        ("CompressedScaffnew", copies(2)),
        ("CompressedScaffnew", copies(4)),
        ("LoCoDL", UNBIASED),
        ("LoCoDL", ("sketch", {"rank": 2, "scale": "unbiased"})),
    ],
)
def test_local_steps_reach_the_minimum_and_their_controls_cancel(name, spec):
    hessians, shifts = heterogeneous()
    method = make(name, spec, 1 / constants_of(hessians).L_max, hessians, shifts)
    assert 0 < method._p < 0.5
    assert np.linalg.norm(run(method, 900) - minimiser(hessians, shifts)) < 1e-5
    controls = method.estimate_error()
    if controls is not None:
        own, mean = controls
        np.testing.assert_allclose(own.mean(axis=0), mean, atol=1e-12 * np.abs(own).max())
        assert np.abs(own).max() > 0.1


def test_p_follows_from_the_step_and_mu():
    known = Constants(1.0, np.ones(5), mu=0.01)
    assert make("Scaffnew", WHOLE, 0.25, *heterogeneous(), constants=known)._p == pytest.approx(
        0.05
    )
    chosen = make("LoCoDL", UNBIASED, 0.25, *heterogeneous(), constants=known)._p
    assert chosen == pytest.approx(0.05 * np.sqrt(2 * 1.2))


def test_what_they_cannot_do_is_refused_by_name():
    flat = Constants(1.0, np.ones(5))
    with pytest.raises(UserError, match=r"Scaffnew: rests on the strong convexity.*set p"):
        walks("Scaffnew", constants=flat)
    walks("Scaffnew", constants=flat, p=0.5)
    with pytest.raises(UserError, match="LoCoDL: rests on the strong convexity"):
        walks("LoCoDL", UNBIASED, constants=flat, p=0.5)
    with pytest.raises(UserError, match="LoCoDL: compressor topk is not unbiased"):
        walks("LoCoDL", ("topk", {"k": 3}))
    for spec in (UNBIASED, copies(1), ("permk", {"copies": 2, "scale": "contractive"})):
        with pytest.raises(UserError, match="CompressedScaffnew: takes permk with copies"):
            walks("CompressedScaffnew", spec)
    with pytest.raises(OptionError, match="above 0, at most 1"):
        methods["Scaffnew"].check(methods["Scaffnew"].filled({"p": 0.0}))


@pytest.mark.parametrize(
    ("method", "compressor", "multiple", "p", "rounds"),
    [
        ("Scaffnew", "identity", 8, 0.1, [2, 18, 86]),
        ("CompressedScaffnew", "permk:copies=5", 8, 0.1, [5, 32, 111]),
        ("LoCoDL", "natural", 8, 0.1, [6, 32]),
    ],
)
def test_rounds_on_mushrooms(method, compressor, multiple, p, rounds):
    """On l2 logistic regression; the reference throws another coin."""
    given = {"method": method, "compressor": compressor, "multiple": multiple, "p": p}
    found = rounds_to([1e-2, 1e-4, 1e-6][: len(rounds)], L2, **given)
    np.testing.assert_allclose(found, rounds, rtol=0.25, atol=4)
