"""What is recorded of a model: loss, gradient, accuracy. Outside the method's clock."""

from dataclasses import dataclass

import numpy as np

from mpi_lowrank.problems.base import Problem
from mpi_lowrank.record.metrics import METRICS
from mpi_lowrank.run.gradients import Gradients


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

    @property
    def finite(self) -> bool:
        """Whether what was measured is finite."""
        return bool(np.isfinite(self.grad_norm_sq) and (np.isfinite(self.loss) or not self.whole))

    def reaches(self, metric: str, value: float) -> bool:
        """Whether the metric has fallen or risen to the value."""
        return bool(METRICS[metric].reached(getattr(self, metric), value))

    def columns(self) -> dict[str, float]:
        """Every metric's value, as the record has it."""
        return {name: getattr(self, name) for name in METRICS}


class Evaluator:
    """Evaluates the model on all ranks; one ordered sum over workers an evaluation."""

    EXTRA = 4  # loss, |grad f_i|^2, right training rows, right held-out rows

    def __init__(
        self,
        problem: Problem,
        gradients: Gradients,
        door,
        workers: int,
        total: int,
        rows: tuple[int, int],
        loss_every: int = 1,
    ):
        self.problem, self.gradients, self.door, self.total = problem, gradients, door, total
        self.train_rows, self.test_rows = rows
        self._loss_every, self._due = loss_every, 0
        self._rows = np.zeros((workers, problem.d + self.EXTRA))
        self._losses = np.zeros(workers)
        self._sum = np.zeros(problem.d + self.EXTRA)

    def __call__(self, x: np.ndarray, done: int, last: bool = False) -> Measures:
        """Evaluate x (d,) after `done` rounds; collective.

        Loss and accuracy are measured in the first row from each multiple of `loss_every` rounds
        on, and in the last one.
        """
        whole = last or done >= self._due
        if whole:
            self._due = done - done % self._loss_every + self._loss_every
        self._measure(x, whole)
        self.door.ordered_sum(self._rows, self._sum, "evaluation")
        gradient = self._sum[: -self.EXTRA] / self.total
        loss, squares, right, right_held_out = self._sum[-self.EXTRA :]
        return Measures(
            loss=float(loss / self.total),
            grad_norm_sq=float(gradient @ gradient),
            train_accuracy=float(right / self.train_rows) if self.train_rows else np.nan,
            test_accuracy=float(right_held_out / self.test_rows) if self.test_rows else np.nan,
            worker_norm=float(np.sqrt(squares / self.total)),
            whole=whole,
        )

    def _measure(self, x, whole):
        gradients = self._rows[:, : -self.EXTRA]
        gradients[...] = self.gradients.evaluated(x)
        extra = self._rows[:, -self.EXTRA :]
        np.einsum("wd,wd->w", gradients, gradients, out=extra[:, 1])
        if not whole:
            extra[:, [0, 2, 3]] = np.nan
            return
        self.problem.losses(x, self._losses)
        extra[:, 0] = self._losses
        extra[:, 2:] = 0
        extra[0, 2:] = self.problem.correct(x)
