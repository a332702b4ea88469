"""Every problem at one point or a point for each worker, on all samples or on a batch."""

from dataclasses import replace
from functools import cache
from itertools import combinations, islice, pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array, issparse

from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.problems import problems
from mpi_lowrank.problems.batch import Batch, Batches

SIZES = [6, 9, 2, 7]
LONGEST = 11  # there is a longer shard elsewhere
MADE = ("matrix", "quadratic")  # of a seed, without data

CASES = {
    "logistic": {"lambda_": 0.3},
    "logistic l2": {"regularizer": "l2", "lambda_": 0.3},
    "least_squares": {"lambda_": 0.6},
    "least_squares dense": {"lambda_": 0.6},
    "softmax": {"lambda_": 0.3},
    "mlp": {"hidden": 3, "lambda_": 0.3},
    "mlp deep": {"hidden": (4, 4, 2), "lambda_": 0.3},
    "autoencoder": {"code": 2},
    "matrix": {"shape": (7, 5)},
    "matrix rotated": {"shape": (7, 5), "bases": "rotated", "heterogeneity": 0.5},
    "quadratic": {"dimension": 6, "noise": 0.8, "lambda_": 0.1},
}

every_case = pytest.mark.parametrize("case", CASES)
points = pytest.mark.parametrize("own", [False, True], ids=["one point", "own points"])
samples = pytest.mark.parametrize("size", [None, 4], ids=["all", "batch"])


@cache
def shards(case):
    rng, rows = np.random.default_rng(1), []
    for size in [*SIZES, 3]:
        features = rng.standard_normal((size, 5)) * (rng.random((size, 5)) < 0.7)
        features[0] = 0
        labels = rng.integers(3, size=size)
        if "logistic" in case:
            features, labels = csr_array(features), np.where(labels > 0, 1, -1)
        if "least" in case:
            labels = rng.standard_normal(size)
        if case == "least_squares":
            features = csr_array(features)
        rows.append(Rows(features, labels))
    none = case.startswith(MADE)
    return LocalShards(range(4), 4, 5, [] if none else rows[:-1], rows[-1], LONGEST, 24, 3, 3)


def make(case, dtype=np.float64, local=None):
    return problems[case.split()[0]](local or shards(case), np.dtype(dtype), **CASES[case])


def start(problem, own, dtype=np.float64):
    x = np.random.default_rng(2).standard_normal((4, problem.d)).astype(dtype)
    return x if own else x[0]


def draw(problem, size, t=3):
    return None if size is None else Batches(7, range(4), problem.samples, size).at(t)


def gradients(problem, x, batch=None):
    out = np.full((len(problem.samples), problem.d), np.nan, x.dtype)
    problem.gradients(x, out, batch)
    return out


def losses(problem, x, batch=None):
    out = np.full(len(problem.samples), np.nan)
    problem.losses(x, out, batch)
    return out


def samples_of(problem, batch):
    if batch is None:
        return [np.arange(count) for count in problem.samples]
    return [rows[:size] for rows, size in zip(batch.rows, batch.sizes, strict=True)]


class Oracle:
    """f_i on some samples by the dense formula, at a complex point too."""

    def __init__(self, case):
        self.problem, self.case = make(case), case
        if "matrix" in case:
            self.designs, self.targets = self._regression()

    def _regression(self):
        """sqrt(m) H_i^(1/2) and W_i*, from the gradients on all samples."""
        origin = gradients(self.problem, np.zeros(35)).reshape(4, 7, 5)
        units = [np.outer(unit, np.eye(5)[0]).ravel() for unit in np.eye(7)]
        moved = [gradients(self.problem, unit).reshape(4, 7, 5) - origin for unit in units]
        hessians = np.stack(moved, axis=2)[..., 0]
        values, bases = np.linalg.eigh(hessians)
        roots = bases * np.sqrt(7 * values)[:, np.newaxis] @ bases.swapaxes(1, 2)
        return roots, np.linalg.solve(hessians, -origin)

    def loss(self, worker, rows, x):
        if "matrix" in self.case:
            error = self.designs[worker][rows] @ (x.reshape(7, 5) - self.targets[worker])
            return (error**2).sum() / (2 * len(rows))
        if self.case == "quadratic":
            return self._springs(worker, rows, x)
        features, labels = shards(self.case).workers[worker]
        A, y = (features.toarray() if issparse(features) else features)[rows], labels[rows]
        if "least" in self.case:
            return ((A @ x - y) ** 2).mean() + 0.3 * (x**2).sum()
        if "logistic" in self.case:
            value = np.log(1 + np.exp(-y * (A @ x))).mean()
            squares = x**2 / 2 if "l2" in self.case else x**2 / (1 + x**2)
            return value + 0.3 * squares.sum()
        if self.case == "autoencoder":
            D, E = x[:10].reshape(5, 2), x[10:].reshape(2, 5)
            return ((D @ E @ A.T - A.T) ** 2).sum() / len(rows)
        logits = self._network(A, x) if "mlp" in self.case else A @ x.reshape(5, 3)
        entropy = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        return entropy.mean() + 0.15 * (x**2).sum()

    def _network(self, h, x):
        hidden, places = CASES[self.case]["hidden"], iter(x)
        for inputs, outputs in pairwise((5, *np.atleast_1d(hidden), 3)):
            W, b = (np.array(list(islice(places, n))) for n in (inputs * outputs, outputs))
            z = h @ W.reshape(inputs, outputs) + b
            h = np.tanh(z)
        return z

    def _springs(self, worker, rows, x):
        """7 terms, and T's least eigenvalue by NumPy."""
        drawn = np.random.default_rng([5, 1]).standard_normal((4, 2))
        nu = 1 + 0.8 * drawn[:, 0]
        stretches = np.diff(np.eye(6), axis=0, prepend=0, append=0)
        shift = 0.1 - nu.mean() / 4 * np.linalg.eigvalsh(stretches.T @ stretches)[0]
        squares = 7 * ((stretches @ x)[rows] ** 2).mean()
        pull = nu[worker] / 4 * (0.8 * drawn[worker, 1] - 1) * x[0]
        return nu[worker] / 8 * squares + shift / 2 * (x**2).sum() - pull

    def gradient(self, worker, rows, x):
        """Im f(x + ihe_j) / h, exact to round-off."""
        steps = x + 1e-30j * np.eye(len(x))
        return np.array([self.loss(worker, rows, step).imag for step in steps]) / 1e-30


oracle = cache(Oracle)

STEPS = (1e-5, -1e-5)


def test_no_problem_is_left_out():
    assert {case.split()[0] for case in CASES} == set(problems.names())


@every_case
@points
@samples
def test_gradients_agree_with_finite_differences(case, own, size):
    problem = make(case)
    x, batch = start(problem, own), draw(problem, size)
    directions = np.random.default_rng(4).standard_normal((4, problem.d))
    directions = directions if own else directions[:1]
    plus, minus = (losses(problem, (x + h * directions).reshape(x.shape), batch) for h in STEPS)
    slopes = (gradients(problem, x, batch) * directions).sum(axis=1)
    np.testing.assert_allclose((plus - minus) / (2 * STEPS[0]), slopes, rtol=1e-7, atol=1e-8)


@every_case
@points
@samples
def test_losses_and_gradients_equal_the_dense_formula_on_the_same_samples(case, own, size):
    problem = make(case)
    x, batch = start(problem, own), draw(problem, size)
    found, slopes = losses(problem, x, batch), gradients(problem, x, batch)
    for w, rows in enumerate(samples_of(problem, batch)):
        point = x[w] if own else x
        assert found[w] == pytest.approx(oracle(case).loss(w, rows, point), rel=1e-12)
        expected = oracle(case).gradient(w, rows, point)
        np.testing.assert_allclose(slopes[w], expected, rtol=1e-9, atol=1e-11)


@every_case
@points
@samples
def test_in_float32_they_are_those_of_float64_to_round_off(case, own, size):
    single, double = make(case, np.float32), make(case)
    x, batch = start(single, own, np.float32), draw(double, size)
    wide = x.astype(np.float64)
    expected = gradients(double, wide, batch)
    scale = 1e-5 * abs(expected).max()
    np.testing.assert_allclose(gradients(single, x, batch), expected, rtol=0, atol=scale)
    np.testing.assert_allclose(losses(single, x, batch), losses(double, wide, batch), rtol=1e-5)


@every_case
@points
@pytest.mark.parametrize("size", [9, 12])
def test_a_batch_of_all_samples_is_the_whole(case, own, size):
    problem = make(case)
    x, batch = start(problem, own), draw(problem, size)
    whole = gradients(problem, x)
    np.testing.assert_allclose(gradients(problem, x, batch), whole, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(losses(problem, x, batch), losses(problem, x), rtol=1e-13)


@every_case
@points
def test_the_mean_over_all_batches_is_the_gradient_on_all_samples(case, own):
    problem = make(case)
    x, width = start(problem, own), 2
    for w, count in enumerate(problem.samples):
        found = []
        for chosen in combinations(range(count), width):
            rows = np.zeros((4, width), int)
            rows[w] = chosen
            found.append(gradients(problem, x, Batch(rows, np.full(4, width)))[w])
        whole = gradients(problem, x)[w]
        np.testing.assert_allclose(np.mean(found, axis=0), whole, rtol=1e-11, atol=1e-12)


@every_case
def test_drawn_batches_have_the_gradient_of_all_samples_in_the_mean(case):
    problem, rounds = make(case), 500
    x, batches = start(problem, own=True), Batches(7, range(4), problem.samples, 3)
    found = np.array([gradients(problem, x, batches.at(t)) for t in range(rounds)])
    errors = np.linalg.norm(found.mean(axis=0) - gradients(problem, x), axis=1)
    deviations = np.sqrt(found.var(axis=0).sum(axis=1) / rounds)
    assert (errors <= 3 * deviations + 1e-12).all()


@every_case
@points
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_worker_s_bits_do_not_depend_on_who_shares_its_rank(case, own, dtype):
    problem = make(case, dtype)
    x, batch = start(problem, own, dtype), draw(problem, 4)
    together = gradients(problem, x, batch), losses(problem, x, batch)
    for w in range(4):
        mine = replace(
            shards(case), numbers=range(w, w + 1), workers=shards(case).workers[w : w + 1]
        )
        alone = make(case, dtype, mine)
        drawn = Batches(7, range(w, w + 1), alone.samples, 4).at(3)
        point = x[w : w + 1] if own else x
        assert gradients(alone, point, drawn).tobytes() == together[0][w].tobytes()
        assert losses(alone, point, drawn)[0] == together[1][w]


@every_case
def test_nothing_is_left_behind_by_other_batches_and_points(case):
    used = make(case)
    requests = [
        (start(used, own), size, t)
        for t in (1, 2)
        for own in (False, True)
        for size in (None, 3, 7)
    ]
    for x, size, t in requests:
        fresh = make(case)
        before = x.tobytes()
        expected = (
            gradients(fresh, x, draw(fresh, size, t)),
            losses(make(case), x, draw(fresh, size, t)),
        )
        batch = draw(used, size, t)
        np.testing.assert_array_equal(gradients(used, x, batch), expected[0])
        np.testing.assert_array_equal(losses(used, x, batch), expected[1])
        assert x.tobytes() == before


@every_case
@pytest.mark.parametrize("wrong", [-1, 7, 10**7])
def test_a_row_that_its_worker_does_not_have_is_refused(case, wrong):
    problem = make(case)
    rows = np.zeros((4, 3), int)
    rows[2, 1] = wrong
    with pytest.raises(IndexError, match="not among the workers' "):
        gradients(problem, start(problem, own=False), Batch(rows, np.full(4, 3)))
    with pytest.raises(IndexError):
        losses(problem, start(problem, own=True), Batch(rows, np.full(4, 3)))
