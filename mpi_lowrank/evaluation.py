"""What is recorded of a model: loss, gradient, accuracy. Outside the method's clock."""

from dataclasses import dataclass

import numpy as np

from mpi_lowrank.problems.base import Problem


@dataclass(frozen=True)
class Measures:
    """Of f at one x; the same bits on every rank."""

    loss: float
    grad_norm_sq: float
    train_accuracy: float
    test_accuracy: float
    worker_norm: float
    """Root mean square over workers of |grad f_i|: the scale of round-off in g = mean g_i."""

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.loss) and np.isfinite(self.grad_norm_sq))

    def reaches(self, metric: str, value: float) -> bool:
        """Whether the metric has fallen to the value, or an accuracy has risen to it."""
        measured = getattr(self, metric)
        return measured >= value if metric.endswith("accuracy") else measured <= value


class Evaluator:
    """Evaluates the model on all ranks; one ordered sum over workers an evaluation."""

    EXTRA = 4  # loss, |grad f_i|^2, right training rows, right held-out rows

    def __init__(self, problem: Problem, door, workers: int, total: int, rows: tuple[int, int]):
        self.problem, self.door, self.total = problem, door, total
        self.train_rows, self.test_rows = rows
        self._rows = np.zeros((workers, problem.d + self.EXTRA))
        self._losses = np.zeros(workers)
        self._sum = np.zeros(problem.d + self.EXTRA)
        self._gradients: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> Measures:
        """Evaluate at x (d,); collective."""
        self._measure(x)
        self.door.ordered_sum(self._rows, self._sum, "evaluation")
        gradient = self._sum[: -self.EXTRA] / self.total
        loss, squares, right, right_held_out = self._sum[-self.EXTRA :]
        return Measures(
            loss=float(loss / self.total),
            grad_norm_sq=float(gradient @ gradient),
            train_accuracy=float(right / self.train_rows) if self.train_rows else np.nan,
            test_accuracy=float(right_held_out / self.test_rows) if self.test_rows else np.nan,
            worker_norm=float(np.sqrt(squares / self.total)),
        )

    def _measure(self, x):
        if self._gradients is None:
            self._gradients = np.zeros((len(self._rows), x.size), x.dtype)
        self.problem.gradients(x, self._gradients)
        gradients = self._rows[:, : -self.EXTRA]
        gradients[...] = self._gradients
        self.problem.losses(x, self._losses)
        extra = self._rows[:, -self.EXTRA :]
        extra[:, 0] = self._losses
        np.einsum("wd,wd->w", gradients, gradients, out=extra[:, 1])
        extra[0, 2:] = self.problem.correct(x)
