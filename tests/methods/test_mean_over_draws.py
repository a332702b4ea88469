"""What theorems promise in the mean over draws, held against the mean over seeds."""

from dataclasses import replace

import numpy as np
import pytest
from quadratics import constants_of, heterogeneous, make, minimiser

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.coordinates.sparse import RandK
from mpi_lowrank.run.theorems import RoundOff, descent

SEEDS, ROUNDS = 200, 5
EXACT = RoundOff(0.0, 0.0)


class Modest(RandK):
    """Says that its variance is a hundredth of what it is."""

    def promised(self):
        whole = super().promised()
        return replace(whole, omega=whole.omega / 100)


def mean(rows):
    return rows.mean(axis=0)


class Functions:
    """f, and its minimum."""

    def __init__(self):
        self.hessians, self.shifts = heterogeneous()
        self.known = constants_of(self.hessians)
        self.minimum = minimiser(self.hessians, self.shifts)

    def gradients(self, x):
        return np.einsum("wij,wj->wi", self.hessians, x - self.shifts)

    def loss(self, x):
        gaps = x - self.shifts
        return np.einsum("wi,wij,wj->w", gaps, self.hessians, gaps).mean() / 2


F = Functions()


def excess(name, compressor, **options):
    """Psi^{t+1} less what is promised, over Psi^0, (seeds, rounds), at the largest stepsize."""
    spec, found = (compressor, {"k": 3, "scale": "unbiased"}), []
    guarantee = make(name, spec, 1.0, F.hessians, **options).guarantee(F.known)
    given = guarantee, F.known.L, F.loss(F.minimum)
    theorem = descent(*given, descent(*given, 1.0, EXACT).limit, EXACT)
    for seed in range(SEEDS):
        method = make(name, spec, theorem.gamma, F.hessians, F.shifts, seed=seed, **options)
        psi, squares = np.array(list(followed(method, theorem))).T
        found.append((np.diff(psi) + theorem.gamma / 2 * squares[:-1]) / psi[0])
    return np.array(found)


def followed(method, theorem):
    """Psi and |grad f|^2 before each round."""
    for t in range(ROUNDS + 1):
        now = F.gradients(method.x)
        gaps = method.gaps(t, now, now, mean)
        errors = np.array([(gap**2).sum(axis=-1).mean() for gap in gaps])
        yield theorem.value(F.loss(method.x), errors), (mean(now) ** 2).sum()
        method.exchange.round = t
        method.round(t)


CASES = {"MARINA": {"p": 0.25}, "DIANA": {}}


@pytest.mark.parametrize("name", CASES)
def test_in_the_mean_over_draws_the_lyapunov_function_falls_as_promised(name):
    found = excess(name, "randk", **CASES[name])
    surely = found.mean(axis=0) + 4 * found.std(axis=0) / np.sqrt(SEEDS)
    assert (surely < 1e-12).all()


@pytest.mark.parametrize("name", CASES)
def test_a_variance_that_is_told_too_small_is_found(name, monkeypatch):
    compressors.names()
    monkeypatch.setitem(compressors._found, "modest", Modest)
    found = excess(name, "modest", **CASES[name])
    surely = found.mean(axis=0) - 4 * found.std(axis=0) / np.sqrt(SEEDS)
    assert (surely > 0).any()
