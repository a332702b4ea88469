"""What is recorded of a model: loss, gradient, accuracy. Outside the method's clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpi_lowrank.problems.base import Problem
from mpi_lowrank.record.metrics import METRICS, Metric
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.gradients import Gradients
from mpi_lowrank.steps.base import Step

EXTRA = ("loss", "|grad f_i|^2", "right training rows", "right held-out rows")
"""What is summed over workers besides gradients and a problem's own metrics."""

_SPACED = [0, 2, 3]  # those that `loss_every` spares


@dataclass(frozen=True)
class Measures:
    """Of f at one x; the same bits on every rank. NaN is what was not measured."""

    loss: float
    grad_norm_sq: float
    train_accuracy: float
    test_accuracy: float
    worker_norm: float
    """Root mean square over workers of |grad f_i|: the scale of round-off in g = mean g_i."""
    whole: bool = True
    """Whether loss and accuracy were measured as well."""
    own: Mapping[Metric, float] = field(default_factory=dict)
    """The problem's own metrics."""

    @property
    def finite(self) -> bool:
        """Whether what was measured is finite."""
        return bool(np.isfinite(self.grad_norm_sq) and (np.isfinite(self.loss) or not self.whole))

    def reaches(self, metric: str, value: float) -> bool:
        """Whether the metric has fallen or risen to the value."""
        if metric in METRICS:
            return bool(METRICS[metric].reached(getattr(self, metric), value))
        own = next(own for own in self.own if own.name == metric)
        return bool(own.reached(self.own[own], value))

    def columns(self) -> dict[str, float]:
        """Every metric's value, as the record has it."""
        columns = {name: getattr(self, name) for name in METRICS}
        return columns | {metric.name: value for metric, value in self.own.items()}


class Evaluator:
    """Evaluates the model on all ranks, with one exact sum over workers per evaluation."""

    def __init__(
        self,
        problem: Problem,
        gradients: Gradients,
        door,
        workers: int,
        total: int,
        rows: tuple[int, int],
        loss_every: int = 1,
        notes: State | None = None,
        step: Step | None = None,
    ):
        """`step`: that of the method, which may minimise more than f."""
        self._step = step
        self.problem, self.gradients, self.door, self.total = problem, gradients, door, total
        self.train_rows, self.test_rows = rows
        self._loss_every = loss_every
        self._due = (notes or State(workers, float)).counter("evaluation due")
        self._rows = np.zeros((workers, problem.d + len(EXTRA) + len(problem.metrics)))
        self._losses = np.zeros(workers)
        self._sum = np.zeros(self._rows.shape[1])
        self._parts, self._sums = _parts(self._rows, problem.d), _parts(self._sum, problem.d)
        self._spaced = [not metric.every_row for metric in problem.metrics]

    def __call__(self, x: np.ndarray, done: int, last: bool = False) -> Measures:
        """Evaluate x (d,) after `done` rounds; collective.

        Loss and accuracy are measured in the first row from each multiple of `loss_every` rounds
        on, and in the last one.
        """
        whole = last or done >= self._due.item()
        if whole:
            self._due[()] = done - done % self._loss_every + self._loss_every
        self._measure(x, whole)
        self.door.exact_sum(self._rows, self._sum, self.total, "evaluation")
        gradient, (_, extra, own) = self.gradient, self._sums
        loss, squares, right, right_held_out = extra
        if self._step:
            gradient = self._step.least_slope(x, gradient)
        return Measures(
            loss=float(loss / self.total) + (self._step.penalty(x) if self._step else 0.0),
            grad_norm_sq=float(gradient @ gradient),
            train_accuracy=float(right / self.train_rows) if self.train_rows else np.nan,
            test_accuracy=float(right_held_out / self.test_rows) if self.test_rows else np.nan,
            worker_norm=float(np.sqrt(squares / self.total)),
            whole=whole,
            own=dict(zip(self.problem.metrics, (own / self.total).tolist(), strict=True)),
        )

    @property
    def gradient(self) -> np.ndarray:
        """grad f, (d,) float64, of the last evaluation; the sum over f_i is exact."""
        return self._sums[0] / self.total

    @property
    def worker_gradients(self) -> np.ndarray:
        """The local grad f_i (workers, d) float64 there."""
        return self._parts[0]

    def _measure(self, x, whole):
        gradients, extra, own = self._parts
        gradients[...] = self.gradients.evaluated(x)
        np.einsum("wd,wd->w", gradients, gradients, out=extra[:, 1])
        self._measure_own(x, own, whole)
        if not whole:
            extra[:, _SPACED] = np.nan
            return
        self.problem.losses(x, self._losses)
        extra[:, 0] = self._losses
        extra[:, 2:] = 0
        extra[0, 2:] = self.problem.correct(x)

    def _measure_own(self, x, own, whole):
        spaced = self._spaced
        if spaced and (whole or not all(spaced)):
            self.problem.measure(x, own)
        if spaced and not whole:
            own[:, spaced] = np.nan


def _parts(rows: np.ndarray, d: int) -> list[np.ndarray]:
    """The columns of gradients, of what all problems measure, and of the problem's own."""
    return np.split(rows, [d, d + len(EXTRA)], axis=-1)
