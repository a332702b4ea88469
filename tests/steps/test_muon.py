"""The polar factor, exact and by products; the step that takes it; the stepsize that falls."""

import numpy as np
import pytest
from cases import assembled, models

from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps import polar, steps
from mpi_lowrank.steps.muon import Muon
from mpi_lowrank.steps.plain import Plain

RNG = np.random.default_rng(0)


def of_singular_values(values, shape, dtype):
    """(X, its factor)."""
    U, V = (np.linalg.qr(RNG.standard_normal((n, len(values))))[0] for n in shape)
    return ((U * values) @ V.T).astype(dtype), U @ V.T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (7, 7), (1, 5)])
def test_the_decomposition_gives_the_orthogonal_factor(shape, dtype):
    values = np.geomspace(1e-2, 30, min(shape))
    X, factor = of_singular_values(values, shape, dtype)
    found = polar.Polar(shape, np.dtype(dtype))(X)
    np.testing.assert_allclose(found, factor, atol=500 * np.finfo(dtype).eps)
    np.testing.assert_allclose(polar.exact(1e-20 * X), found, atol=500 * np.finfo(dtype).eps)


def test_directions_of_round_off_and_zeros_do_not_count():
    X, factor = of_singular_values([3.0, 0.1], (8, 5), "float32")
    np.testing.assert_allclose(polar.exact(X), factor, atol=1e-4)
    assert not polar.exact(np.zeros((4, 3))).any()
    assert np.isnan(polar.exact(np.full((2, 3), np.inf))).all()


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_newton_schulz_is_the_decomposition(shape):
    X = of_singular_values(np.geomspace(1e-3, 1, 24), shape, "float64")[0]
    found = polar.newton_schulz(X, polar.Room(shape, X.dtype))
    np.testing.assert_allclose(found, polar.exact(X), atol=2e-3)
    assert not polar.newton_schulz(0 * X, polar.Room(shape, X.dtype)).any()


def test_large_matrices_are_taken_by_products(monkeypatch):
    assert polar.Polar((512, 4000), np.dtype("float32")).room is None
    monkeypatch.setattr(polar, "LARGEST", 23)
    X = of_singular_values(np.geomspace(1e-3, 1, 24), (40, 24), "float64")[0]
    found = polar.Polar(X.shape, X.dtype)
    assert found.room is not None
    np.testing.assert_allclose(found(X), polar.exact(X), atol=2e-3)


def test_matrices_move_by_the_stepsize_along_their_factors_and_vectors_plainly():
    shapes = [(3, 2), (4,), (2, 5)]
    x, direction = np.zeros(20), RNG.standard_normal(20)
    Muon(x, 0.3, State(1, float), shapes)(0.3 * direction)
    np.testing.assert_allclose(x[:6].reshape(3, 2), -0.3 * polar.exact(direction[:6].reshape(3, 2)))
    np.testing.assert_allclose(x[6:10], -0.3 * direction[6:10])
    values = np.linalg.svd(x[10:].reshape(2, 5), compute_uv=False)
    np.testing.assert_allclose(values, 0.3)


def test_muon_on_a_model_without_matrices_is_the_plain_step():
    text = 'workers = 5\n[[cases]]\nmethod = "EF21"\ncompressor = "topk:k=4"\nstep = "{}"'
    x = models(assembled(text.format("muon")), 5)
    np.testing.assert_array_equal(x, models(assembled(text.format("plain")), 5))


def test_a_decay_takes_the_stepsize_linearly_to_nothing_and_stays_there():
    x, state = np.zeros(1), State(1, float)
    step = Plain(x, 0.5, state, [(1,)], decay=4)
    sizes = []
    for _ in range(6):
        before = x[0]
        step(np.array([0.5]))
        sizes.append(before - x[0])
    np.testing.assert_allclose(sizes, [0.5, 0.375, 0.25, 0.125, 0, 0])
    assert [entry.name for entry in state] == ["steps"]  # goes on from a checkpoint


def test_a_decay_shrinks_muon_s_steps_too_whose_directions_have_no_size():
    x = np.zeros(6)
    step, lengths = Muon(x, 0.5, State(1, float), [(3, 2)], decay=4), []
    for _ in range(5):
        before = x.copy()
        step(RNG.standard_normal(6))
        lengths.append(np.linalg.norm((before - x).reshape(3, 2), 2))
    np.testing.assert_allclose(lengths, [0.5, 0.375, 0.25, 0.125, 0], atol=1e-15)


@pytest.mark.parametrize("name", steps.names())
def test_no_decay_of_no_rounds(name):
    with pytest.raises(OptionError, match="decay = 0"):
        steps[name].check(steps[name].filled({"decay": 0}))
