"""Checks inside every run: what does not pass them is recorded as not valid, with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.methods.base import Method
from mpi_lowrank.problems.base import Problem

if TYPE_CHECKING:
    from mpi_lowrank.door import Door
    from mpi_lowrank.exchange import Exchange


def gradient_errors(problem: Problem, x: np.ndarray, workers: int) -> np.ndarray:
    """Central differences against the gradients along one random direction, a worker a number.

    The error relative to what the state's precision allows: at most 1 if the gradient is right.
    """
    eps = np.finfo(x.dtype).eps
    step = eps ** (1 / 3)
    direction = np.random.default_rng(1).standard_normal(x.size)
    direction = (direction / np.linalg.norm(direction)).astype(x.dtype)
    plus, minus, gradients = np.zeros(workers), np.zeros(workers), np.zeros((workers, x.size))
    gradients = gradients.astype(x.dtype)
    problem.losses(x + step * direction, plus)
    problem.losses(x - step * direction, minus)
    problem.gradients(x, gradients)
    slopes = (gradients @ direction).astype(np.float64)
    allowed = 20 * eps ** (2 / 3) * np.maximum(1, np.abs(plus) + np.abs(slopes))
    return np.abs((plus - minus) / (2 * step) - slopes) / allowed


def check_gradient(door: Door, problem: Problem, x: np.ndarray, workers: int) -> list[str]:
    """Collective: a reason if the gradient of any worker is wrong."""
    worst = np.zeros(1)
    mine = np.array([gradient_errors(problem, x, workers).max()])
    door.maximum(mine, worst, "control")
    if worst[0] <= 1:
        return []
    if np.isinf(worst[0]):
        return ["a loss or gradient at x^0 is not finite"]
    return [f"gradient differs from finite differences by {worst[0]:.1e} times the allowed error"]


def check_replicas(door: Door, x: np.ndarray) -> list[str]:
    """Collective: a reason if x is not the same bits on every rank."""
    mine = np.frombuffer(hashlib.blake2b(x.tobytes(), digest_size=8).digest(), np.int64)
    hashes = np.zeros(door.size, np.int64)
    door.allgather(mine, hashes, [1] * door.size, "control")
    different = int(np.count_nonzero(hashes != hashes[0]))
    return [f"replicas of x differ: {different} ranks from rank 0"] if different else []


def check_estimate(door: Door, watch: Watch, total: int, rounds: int, scale: float) -> list[str]:
    """Collective: a reason if g has left mean g_i by more than the round-off of `rounds` rounds.

    With u the unit round-off, sizes as they were when they were largest, and errors of different
    rounds independent, so that their squares add up:
    - g_i += c_i and g += mean c_i err by u times a vector's size, each round. `scale` (the root
      mean square of |grad f_i|, the largest recorded) and the largest |g| measure that size; 20
      are some standard deviations.
    - a mean of n numbers, added one after the other, errs by n u times their size at the most.
      Equal workers do come near it, since every sum is then rounded the same way. That size is
      `scale` in the first round, in which everybody sends all. Later it is that of a change of
      the g_i, which follow their gradients: these move as x does, by gamma g.
    Nothing of an error fades, whatever becomes of g: an excursion between two rows counts.
    """
    state = watch.method.estimate_error()
    if state is None:
        return []
    estimates, estimate = state
    mean = np.zeros(estimate.size)
    door.ordered_sum(estimates, mean, "control")
    error = float(np.linalg.norm(mean / total - estimate))
    unit = np.finfo(estimate.dtype).eps / 2
    each = 20**2 * rounds * max(scale**2, watch.largest)
    means = total**2 * (scale**2 + watch.energy)
    allowed = float(unit * np.sqrt(each + means))
    if error <= allowed < np.inf:
        return []
    return [f"g is not mean g_i: |g - mean g_i| = {error:.1e}, round-off allows {allowed:.1e}"]


class Watch:
    """What is watched in the rounds, where it costs nothing.

    In the first few: each g_i moves by what worker i sends, and by nothing else: only so are the
    receivers' g_i those of the workers. A g that all workers share in place of their own passes
    every other check, and stalls on heterogeneous data. And a round moves bytes as uplink or
    downlink alone. In all of them: how large g is.

    `largest` is the largest |g|^2 that a round has left, `energy` the sum of |g|^2 over rounds.
    """

    COUNT = 5

    def __init__(self, method: Method, exchange: Exchange):
        self.method, self._exchange = method, exchange
        self._gap, self._uncounted = 0.0, 0.0
        self.largest = self.energy = 0.0

    @contextmanager
    def watching(self, t: int) -> Iterator[None]:
        """Compare what was before and after the block, which carries out round t."""
        if t < self.COUNT:
            with self._comparing():
                yield
        else:
            yield
        state = self.method.estimate_error()
        if state is not None:
            square = float(state[1] @ state[1])
            self.largest, self.energy = max(self.largest, square), self.energy + square

    @contextmanager
    def _comparing(self):
        ledger, state = self._exchange.door.ledger, self.method.estimate_error()
        before, calls = state and state[0].copy(), len(ledger.rows())
        yield
        rows = ledger.rows()[calls:]
        others = ~np.isin(rows["purpose"], [b"uplink", b"downlink"])
        self._uncounted += float(rows["bytes"][others].sum())
        heard = self._exchange.heard() if state else None
        if heard is not None:
            after = self.method.estimate_error()[0]
            gap = np.linalg.norm(after - before - heard, axis=1)
            size = np.linalg.norm(before, axis=1) + np.linalg.norm(after, axis=1)
            info = np.finfo(size.dtype)
            self._gap = np.maximum(self._gap, (gap / (size + info.tiny / info.eps)).max())

    def check_first_rounds(self, door: Door) -> list[str]:
        """Collective: the reasons why the first rounds were not what they should be."""
        worst, allowed = np.zeros(2), 10 * np.finfo(self.method.x.dtype).eps
        door.maximum(np.array([self._gap, self._uncounted]), worst, "control")
        gap, uncounted = worst
        reasons = []
        if gap > allowed:
            text = f"off by {gap:.1e} of its size, round-off allows {allowed:.1e}"
            reasons.append(f"g_i does not move by what worker i sends: {text}")
        if uncounted:
            reasons.append(f"rounds moved {uncounted:.0f} bytes that are no uplink or downlink")
        return reasons


def check_bytes(door: Door, exchange: Exchange) -> list[str]:
    """Collective: a reason if the ledger's uplink bytes are not the sum of what workers sent."""
    mine = np.array([[door.ledger.nbytes("uplink")]], np.int64)
    counted = np.zeros(1, np.int64)
    door.ordered_sum(mine, counted, "control")
    if counted[0] == exchange.handed_bytes:
        return []
    sent = exchange.handed_bytes
    return [f"the ledger counts {counted[0]} uplink bytes, the messages make {sent}"]
