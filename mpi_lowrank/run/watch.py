"""What is watched while a case runs, at no cost worth naming, for the verdict on its results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.methods.base import Method
from mpi_lowrank.record.costs import METHODS_OWN
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.components import dense_beside
from mpi_lowrank.run.loop import Observer, Verdict
from mpi_lowrank.run.rows import Row
from mpi_lowrank.run.validity import astray, check_bytes, check_replicas

if TYPE_CHECKING:
    from mpi_lowrank.door import Door
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.run.assembly import Assembly
    from mpi_lowrank.run.repair import Repair


class Consistency(Observer):
    """At the end the ledger must count what workers sent, and x be the same on every rank."""

    def __init__(self, made: Assembly):
        self._made = made

    def case_ended(self, verdict: Verdict) -> None:
        made = self._made
        verdict.reasons += made.ground.reasons + check_bytes(made.door, made.exchange)
        verdict.reasons += check_replicas(made.door, made.method.x)


class Whole(Observer):
    """At the start the mean of whole gradients, taken by the exchange, must be the gradient.

    So a method whose compressor loses nothing takes the step of gradient descent. The gradient is
    the evaluation's, which adds the same rows another way: exactly, in any order. The check finds
    a worker that is left out, comes twice or has another weight, and a mean that differs between
    ranks. It cannot find errors in what both ways share (the gradients, the rows that workers hold,
    their number), nor in the case's own compressor, nor in what the method makes of the mean. With
    a wire of few bits it finds less: see `allowed`.
    """

    def __init__(self, made: Assembly):
        self._made, self._worst = made, np.zeros(2)
        self._excess = made.notes.within("whole").array("excess")

    def row_measured(self, row: Row) -> None:
        if row.done == 0:
            self._excess[()] = self._compare(row.measures.worker_norm)

    def _compare(self, scale: float) -> float:
        """The error at x^0 as a multiple of what is allowed; 0 where a rank cannot send."""
        made = self._made
        exchange, expected = made.exchange, made.evaluate.gradient
        rows = made.evaluate.gradients.evaluated(made.method.x)
        with exchange.rehearsal():
            _, mean = exchange(rows, made.channels.dense, own=False)
            lost = exchange.unsendable
        error = float(np.linalg.norm(mean - expected))
        self._made.door.maximum(np.array([lost, error]), self._worst, "control")
        lost = self._worst[0] or not np.isfinite(scale)
        return 0.0 if lost else float(self._worst[1] / self.allowed(scale))

    def allowed(self, scale: float) -> float:
        """The most round-off of a mean of vectors whose root mean square norm is `scale`.

        A vector that is sent errs by the wire's eps, a sum by the number of workers times the eps
        of the type it is added in. A number too small for the wire is lost whole.
        """
        made, total = self._made, self._made.ground.placement.total
        wire = finfo(dense_beside(made.case.compressor).options.get("wire", "float32"))
        summed = wire.eps if made.channels.dense.shared else 0
        each = 2 * wire.eps + total * max(summed, np.finfo(made.case.dtype).eps)
        lost = float(wire.smallest_subnormal) * np.sqrt(made.method.x.size)
        return float(each * scale + lost)

    def case_ended(self, verdict: Verdict) -> None:
        if self._excess > 1:
            told = f"off by {self._excess:.1e} times what round-off allows"
            verdict.reasons.append(f"the mean of whole gradients is not the gradient: {told}")


class Replicas(Observer):
    """Every few rounds x, and g where the method keeps it, must be the same on every rank.

    Ranks that differ for `EVERY` rounds or more and agree again at the end are noticed. All ranks
    learn together of an x that is not finite: a rank that acted on its own x alone would wait for
    others that do not come.
    """

    EVERY = 10

    def __init__(self, method: Method, door: Door, notes: State | None = None):
        notes = (notes or State(0, float)).within("replicas")
        self._method, self._door = method, door
        self._mine, self._most = np.zeros((2, 5))
        self._astray, self._differed = notes.array("astray"), notes.array("differed", 2)

    @property
    def astray(self) -> bool:
        """Whether any rank's x was not finite at the last comparison; the same on all ranks."""
        return bool(self._astray)

    def round_done(self, done: int) -> None:
        if done % self.EVERY == 0:
            self._compare(done)

    def _compare(self, done: int) -> None:
        x, state = self._method.x, self._method.estimate_error()
        sums = np.array([_checksum(x), 0.0 if state is None else _checksum(state[1])])
        self._mine[:] = astray(x), *sums, *-sums
        self._door.maximum(self._mine, self._most, "control")
        self._astray[()] = self._most[0]
        differ = self._most[1:3] != -self._most[3:]
        self._differed[differ & (self._differed == 0)] = done

    def case_ended(self, verdict: Verdict) -> None:
        for name, done in zip("xg", self._differed, strict=True):
            if done:
                told = f"{name} was not the same on all ranks after round {done - 1:.0f}"
                verdict.reasons.append(told)


def _checksum(array: np.ndarray) -> float:
    """A checksum of the array's bits: a whole number that a float64 holds."""
    words = np.uint64 if array.nbytes % 8 == 0 else np.uint32
    return float(int(array.view(words).sum(dtype=np.uint64)) % 2**53)


class FirstRounds(Observer):
    """In the first few rounds each g_i moves by the method's `estimate_change`, by nothing else.

    That change follows from what worker i sends: only so do receivers know the workers' g_i. A
    method that kept one g for all workers in place of their g_i would pass every other check, and
    stall on heterogeneous data. Also, rounds may move bytes only as uplink or downlink.
    """

    COUNT = 5

    def __init__(self, method: Method, exchange: Exchange, notes: State | None = None):
        notes = (notes or State(0, float)).within("first rounds")
        self._method, self._exchange = method, exchange
        self._gap, self._uncounted = notes.of_rank("gap"), notes.of_rank("uncounted")
        self._before: np.ndarray | None = None
        self._calls = 0

    def round_begun(self, t: int) -> None:
        if t < self.COUNT:
            state = self._method.estimate_error()
            self._before = None if state is None else state[0].copy()
            self._calls = self._exchange.door.ledger.added

    def round_done(self, done: int) -> None:
        if done <= self.COUNT:
            self._count()
            self._compare()

    def _count(self) -> None:
        rows = self._exchange.door.ledger.since(self._calls)
        others = ~np.isin(rows["purpose"], METHODS_OWN)
        self._uncounted[()] += float(rows["bytes"][others].sum())

    def _compare(self) -> None:
        before = self._before
        change = None if before is None else self._method.estimate_change()
        state = self._method.estimate_error()
        if before is None or state is None or change is None:
            return
        after = state[0]
        gap = np.linalg.norm(after - before - change, axis=1)
        size = np.linalg.norm(before, axis=1) + np.linalg.norm(after, axis=1)
        info = np.finfo(size.dtype)
        largest = (gap / (size + info.tiny / info.eps)).max()
        self._gap[()] = np.maximum(self._gap[()], largest)

    def case_ended(self, verdict: Verdict) -> None:
        if verdict.status != "diverged":
            verdict.reasons += self.check()

    def check(self) -> list[str]:
        """Collective: the reasons why the first rounds were not what they should be."""
        worst, allowed = np.zeros(2), 10 * np.finfo(self._method.x.dtype).eps
        self._exchange.door.maximum(np.array([self._gap, self._uncounted]), worst, "control")
        gap, uncounted = worst
        reasons = []
        if gap > allowed:
            text = f"off by {gap:.1e} of its size, round-off allows {allowed:.1e}"
            reasons.append(f"g_i does not move by what worker i sends: {text}")
        if uncounted:
            reasons.append(f"rounds moved {uncounted:.0f} bytes that are no uplink or downlink")
        return reasons


class Estimate(Observer):
    """g must be mean g_i, up to the round-off that the sizes of g in all rounds allow.

    `largest` is the largest |g|^2 after any round, `energy` the sum of |g|^2 over rounds, `scale`
    the largest root mean square of |grad f_i| that was measured. What a repair has found is held
    against the same.
    """

    def __init__(
        self,
        method: Method,
        door: Door,
        total: int,
        notes: State | None = None,
        repair: Repair | None = None,
    ):
        notes = (notes or State(0, float)).within("estimate")
        self._method, self._door, self._total, self._repair = method, door, total, repair
        self._rounds = notes.counter("rounds")
        self.largest, self.energy = notes.array("largest"), notes.array("energy")
        self.scale = notes.array("scale")

    def round_done(self, done: int) -> None:
        self._rounds[()] = done
        state = self._method.estimate_error()
        if state is not None:
            square = float(state[1] @ state[1])
            self.largest[()] = max(self.largest[()], square)
            self.energy[()] += square

    def row_measured(self, row: Row) -> None:
        self.scale[()] = max(self.scale[()], row.measures.worker_norm)

    def case_ended(self, verdict: Verdict) -> None:
        if verdict.status != "diverged":
            verdict.reasons += self.check()

    def check(self) -> list[str]:
        """Collective: a reason if g has left mean g_i by more than the rounds' round-off.

        u is the unit round-off. Sizes are taken at their largest, and errors of different rounds as
        independent, so that their squares add up:
        - g_i += c_i and g += mean c_i err by u times a vector's size, in each round. That size is
          at most `scale` or the largest |g|; 20 are some standard deviations.
        - a mean of n numbers, added one after the other, errs by at most n u times their size.
          Equal workers come near that, since every sum is then rounded the same way. In the first
          round, in which all is sent, the size is `scale`. Later it is that of the changes of the
          g_i, which follow their gradients: these move as x does, by gamma g.
        No error fades, even when g becomes small: so an excursion between two rows counts.
        """
        state = self._method.estimate_error()
        if state is None:
            return []
        estimates, estimate = state
        mean = np.zeros(estimate.size)
        self._door.exact_sum(estimates, mean, self._total, "control")
        error = float(np.linalg.norm(mean / self._total - estimate))
        error = max(error, self._repair.mended.item() if self._repair else 0.0)
        unit = np.finfo(estimate.dtype).eps / 2
        scale = self.scale.item() ** 2
        each = 20**2 * max(self._rounds.item(), 1) * max(scale, self.largest.item())
        means = self._total**2 * (scale + self.energy.item())
        allowed = float(unit * np.sqrt(each + means))
        if error <= allowed < np.inf:
            return []
        return [f"g is not mean g_i: |g - mean g_i| = {error:.1e}, round-off allows {allowed:.1e}"]
