"""EF-BV, DIANA, MARINA: what they reduce to, their theory in numbers, and their known rounds."""

import numpy as np
import pytest
from known_rounds import rounds_to
from quadratics import (
    constants_of,
    heterogeneous,
    make,
    make_compressor,
    minimiser,
    run,
    theory_stepsize,
)

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import xi

UNBIASED = ("randk", {"k": 3, "scale": "unbiased"})  # omega = 3 on 12 numbers
GAMMA = 0.02

MUSHROOMS = """
workers = 20
rounds = 500
[[cases]]
method = {method}
compressor = {compressor}
multiple = {multiple}
"""


def walks(name, spec=UNBIASED, rounds=60, **options):
    return run(make(name, spec, GAMMA, *heterogeneous(), **options), rounds)


@pytest.mark.parametrize("spec", [("topk", {"k": 3}), ("powersgd", {"rank": 1}), UNBIASED])
@pytest.mark.parametrize("g0", ["dense", "compressed"])
def test_ef_bv_with_whole_shares_is_ef21_to_the_bit(spec, g0):
    x = walks("EF-BV", spec, lambda_=1.0, nu=1.0, g0=g0)
    np.testing.assert_array_equal(x, walks("EF21", spec, g0=g0))


@pytest.mark.parametrize("g0", ["dense", "compressed"])
def test_ef_bv_with_the_share_of_omega_is_diana_to_the_bit(g0):
    x = walks("EF-BV", lambda_=1 / 4, nu=1.0, g0=g0)
    np.testing.assert_array_equal(x, walks("DIANA", g0=g0))


def test_ef_bv_s_shares_are_those_of_the_compressor_s_class():
    hessians, shifts = heterogeneous()
    biased = make("EF-BV", ("topk", {"k": 3}), GAMMA, hessians, shifts)
    assert (biased._lambda, biased._nu) == (1, 1)
    unbiased = make("EF-BV", UNBIASED, GAMMA, hessians, shifts)
    assert (unbiased._lambda, unbiased._nu) == pytest.approx((1 / 4, 1 / (1 + 3 / 5)))
    shared = make("EF-BV", ("sketch", {"rank": 2, "scale": "unbiased"}), GAMMA, hessians, shifts)
    assert (shared._lambda, shared._nu) == pytest.approx((1 / 2, 1 / 2))  # omega = 1, in common


@pytest.mark.parametrize("name", ["DIANA", "MARINA", "EF-BV"])
def test_without_compression_it_is_gradient_descent(name):
    x = walks(name, ("identity", {}))
    np.testing.assert_allclose(x, walks("GD", ("identity", {})), rtol=1e-12, atol=1e-13)


def test_marina_whose_coin_always_falls_on_whole_gradients_is_gradient_descent_to_the_bit():
    np.testing.assert_array_equal(walks("MARINA", p=1.0), walks("GD", ("identity", {})))


@pytest.mark.parametrize("name", ["DIANA", "MARINA", "EF-BV"])
def test_it_reaches_the_minimum_of_different_workers_at_the_theory_s_step(name):
    hessians, shifts = heterogeneous()
    compressor = make_compressor(UNBIASED, 12)
    gamma = theory_stepsize(name, constants_of(hessians), compressor)
    x = run(make(name, UNBIASED, gamma, hessians, shifts), 2000)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-6


def test_theory_s_steps():
    hessians, _ = heterogeneous()
    known, own = constants_of(hessians), make_compressor(UNBIASED, 12)
    L, L_max, spread = known.L, known.L_i.max(), np.sqrt(np.mean(known.L_i**2))
    expected = {
        "DIANA": 1 / ((1 + 6 * 3 / 5) * L_max),
        "MARINA": 1 / (L + spread * np.sqrt(3 * 3 / 5)),
        "EF-BV": 1 / (L + spread * np.sqrt(3 / 5 / (1 + 3 / 5)) / (1 - np.sqrt(3 / 4))),
    }
    for name, step in expected.items():
        assert theory_stepsize(name, known, own) == pytest.approx(step)
    shared = make_compressor(("sketch", {"rank": 2, "scale": "unbiased"}), 12)  # omega = 1
    assert theory_stepsize("DIANA", known, shared) == pytest.approx(1 / (7 * L))
    assert theory_stepsize("MARINA", known, shared) == pytest.approx(1 / (2 * L))
    common = make_compressor(("permk", {}), 12, 5)  # omega = 4, the permutation in common
    assert theory_stepsize("DIANA", known, common) == pytest.approx(1 / (25 * L_max))


@pytest.mark.parametrize("k", [1, 6, 12])
def test_ef_bv_s_step_for_a_biased_compressor_is_ef21_s(k):
    hessians, _ = heterogeneous()
    known, compressor = constants_of(hessians), make_compressor(("topk", {"k": k}), 12)
    step = 1 / (known.L + known.L_tilde * xi(k / 12))
    assert theory_stepsize("EF-BV", known, compressor) == pytest.approx(step)


@pytest.mark.parametrize("name", ["DIANA", "MARINA"])
def test_a_biased_compressor_is_refused_by_name(name):
    with pytest.raises(UserError, match=f"method {name}: compressor topk is not unbiased"):
        walks(name, ("topk", {"k": 3}))


def test_impossible_shares_are_refused():
    compressor, known = make_compressor(UNBIASED, 12), constants_of(heterogeneous()[0])
    with pytest.raises(OptionError, match="lambda = 1: "):
        theory_stepsize("EF-BV", known, compressor, lambda_=1.0)
    for name, option in (("EF-BV", "nu"), ("EF-BV", "lambda_"), ("MARINA", "p")):
        with pytest.raises(OptionError, match="above 0, at most 1"):
            methods[name].check(methods[name].filled({option: 0.0}))


@pytest.mark.parametrize(
    ("method", "multiple", "rounds"), [("DIANA", 4, [54, 173, 367]), ("MARINA", 1, [145, 472])]
)
def test_rounds_on_mushrooms(method, multiple, rounds):
    """With natural compression; the reference draws other numbers."""
    given = {"method": f'"{method}"', "compressor": '"natural"', "multiple": multiple}
    found = rounds_to([1e-2, 1e-4, 1e-6][: len(rounds)], MUSHROOMS, **given)
    np.testing.assert_allclose(found, rounds, atol=5)
