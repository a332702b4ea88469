"""EF21 with weights, with kept errors: what each reduces to."""

import numpy as np
import pytest
from known_rounds import rounds_to
from quadratics import constants_of, heterogeneous, make, make_compressor, minimiser, run
from quadratics import theory_stepsize as stepsize

from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, xi

TOP2 = ("topk", {"k": 2})

MUSHROOMS = """
workers = 20
rounds = {rounds}
[[cases]]
method = {method}
compressor = "topk:k=2"
multiple = {multiple}
"""


def walks(name, spec=TOP2, rounds=60, **options):
    return run(make(name, spec, 0.02, *heterogeneous(), **options), rounds)


@pytest.mark.parametrize("spec", [TOP2, ("powersgd", {"rank": 1})])
def test_weights_of_workers_that_are_alike_make_it_ef21(spec):
    alike = Constants(1.0, np.full(5, 3.0))
    np.testing.assert_allclose(
        walks("EF21-W", spec, constants=alike), walks("EF21", spec), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("spec", [TOP2, ("sketch", {"rank": 2}), ("randk", {"k": 4})])
def test_with_weights_it_reaches_the_minimum_and_keeps_g_the_weighted_mean(spec):
    hessians, shifts = heterogeneous()
    hessians[0] *= 3
    method = make("EF21-W", spec, 0.02, hessians, shifts)
    assert np.linalg.norm(run(method, 1500) - minimiser(hessians, shifts)) < 1e-4
    if method.estimate_error() is not None:
        weighted, estimate = method.estimate_error()
        np.testing.assert_allclose(weighted.mean(axis=0), estimate, atol=1e-13)
        L_i = constants_of(hessians).L_i
        ratios = weighted / method._estimates
        np.testing.assert_allclose(ratios, np.repeat(5 * L_i / L_i.sum(), 12).reshape(5, 12))


def test_weights_take_the_mean_of_the_L_i_into_the_step():
    known = Constants(2.0, np.array([1.0, 2.0, 9.0]))
    compressor = make_compressor(TOP2, 12)
    assert stepsize("EF21-W", known, compressor) == pytest.approx(1 / (2 + 4 * xi(1 / 6)))
    shared = make_compressor(("sketch", {"rank": 1}), 12)
    assert stepsize("EF21-W", known, shared) == stepsize("EF21", known, shared)


def test_without_known_L_i_there_are_no_weights():
    with pytest.raises(UserError, match="take method EF21"):
        walks("EF21-W", constants=Constants(np.nan, np.full(5, np.nan)))


@pytest.mark.parametrize("spec", [TOP2, ("powersgd", {"rank": 1}), ("randk", {"k": 4})])
@pytest.mark.parametrize("g0", ["dense", "compressed"])
def test_error_control_of_nothing_is_ef21_to_the_bit(spec, g0):
    np.testing.assert_array_equal(
        walks("EControl", spec, eta=0.0, g0=g0), walks("EF21", spec, g0=g0)
    )


@pytest.mark.parametrize("spec", [TOP2, ("powersgd", {"rank": 1})])
def test_error_control_reaches_the_minimum(spec):
    hessians, shifts = heterogeneous()
    x = run(make("EControl", spec, 0.02, hessians, shifts, eta=0.05), 2500)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-5


def test_what_error_control_keeps_is_all_that_was_not_sent():
    method = make("EControl", TOP2, 0.02, *heterogeneous(), eta=0.1)
    kept = np.zeros((5, 12))
    for _ in range(20):
        gradients, before = method.gradients(method.x), method._estimates.copy()
        run(method, 1)
        kept += gradients - before - method.exchange.heard()
    np.testing.assert_allclose(method._kept, kept, atol=1e-13)


def test_impossible_control_is_refused():
    with pytest.raises(OptionError, match="from 0 to 1"):
        methods["EControl"].check(methods["EControl"].filled({"eta": -0.1}))


def test_rounds_of_ef21_w_on_mushrooms():
    given = {"method": '"EF21-W"', "multiple": 256, "rounds": 400}
    assert rounds_to([1e-2, 1e-4, 1e-6], MUSHROOMS, **given) == [131, 275, 395]


def test_rounds_of_error_control_on_mushrooms():
    method = '{ name = "EControl", eta = 1e-2 }'
    found = rounds_to([1e-2, 1e-4, 1e-6], MUSHROOMS, method=method, multiple=256, rounds=640)
    np.testing.assert_allclose(found, [179, 388, 632], atol=2)


PLUS = [TOP2, ("randk", {"k": 4}), ("qsgd", {"levels": 4, "coding": "elias"}), ("permk", {})]


@pytest.mark.parametrize("topology", ["allgather", "server"])
@pytest.mark.parametrize("spec", PLUS)
def test_ef21_plus_is_no_farther_off_than_either_candidate(spec, topology, monkeypatch):
    monkeypatch.setattr(methods["EF21+"], "needs_server", topology == "server")
    method, chosen = make("EF21+", spec, 0.4, *heterogeneous()), 0
    exchange = method.exchange
    for t in range(40):
        gradients, before = method.gradients(method.x), method._estimates.copy()
        compressor = method.first if t == 0 else method.compressor
        whole = exchange.preview(gradients, compressor).copy()
        markov = before + exchange.preview(gradients - before, compressor)
        near = [np.linalg.norm(c - gradients, axis=1) for c in (whole, markov)]
        run(method, 1)
        strictly = (near[0] < near[1])[:, np.newaxis]
        np.testing.assert_array_equal(method._estimates, np.where(strictly, whole, markov))
        np.testing.assert_allclose(method._estimate, method._estimates.mean(axis=0), atol=1e-14)
        chosen += strictly.sum()
    assert 0 < chosen < 200


def test_ef21_plus_of_whole_vectors_is_gradient_descent():
    x = walks("EF21+", ("topk", {"k": 12}))
    np.testing.assert_allclose(x, walks("GD", ("identity", {})), rtol=1e-12, atol=1e-13)


def test_ef21_plus_reaches_the_minimum_at_ef21_s_step():
    hessians, shifts = heterogeneous()
    known, compressor = constants_of(hessians), make_compressor(TOP2, 12)
    assert stepsize("EF21+", known, compressor) == stepsize("EF21", known, compressor)
    x = run(make("EF21+", TOP2, 0.03, hessians, shifts), 1200)
    assert np.linalg.norm(x - minimiser(hessians, shifts)) < 1e-5


def test_ef21_plus_counts_a_byte_for_the_choice():
    hessians, shifts = heterogeneous()
    plus, plain = (make(name, TOP2, 0.02, hessians, shifts) for name in ("EF21+", "EF21"))
    for method in (plus, plain):
        run(method, 10)
    assert plus.exchange.uplink_bytes == plain.exchange.uplink_bytes + 10


def test_ef21_plus_refuses_what_is_allreduced():
    with pytest.raises(UserError, match=r"EF21\+: with powersgd, which is Allreduced"):
        walks("EF21+", ("powersgd", {"rank": 1}))


def test_rounds_of_ef21_plus_on_mushrooms():
    given = {"method": '"EF21+"', "multiple": 1024, "rounds": 260}
    found = rounds_to([1e-2, 1e-4, 1e-6], MUSHROOMS, **given)
    np.testing.assert_allclose(found, [66, 171, 238], atol=4)  # ties of the two candidates
