"""The contract of a problem: f(x) = mean of f_i(x), one f_i per worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from mpi_lowrank.component import Component, Options
from mpi_lowrank.datasets import Dataset
from mpi_lowrank.errors import UserError
from mpi_lowrank.problems.batch import Batch
from mpi_lowrank.record import COLUMNS, METRICS, THEORY, Metric

if TYPE_CHECKING:
    from mpi_lowrank.datasets.local import LocalShards

MeanOverWorkers = Callable[[np.ndarray], np.ndarray]
"""Collective: the local workers' rows (workers, k) to their mean over all workers (k,)."""


class Block(NamedTuple):
    """One named parameter of the model; the model is their concatenation, in C order."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Smoothness:
    """L of f; L_i (workers,) and mu of the local f_i: each f_i - (mu / 2) |x|^2 is convex.

    mu_f: the same of f, where more is known than the mu of all f_i.
    """

    L: float
    L_i: np.ndarray
    mu: float = 0.0
    mu_f: float = 0.0


class Problem(Component, ABC):
    """The local workers' functions. Rows of every array belong to workers, in order.

    Made with (shards, dtype, **options): see `LocalShards`. Class methods, which are called before
    there are data, are given all `options`, by their names in Python.
    """

    default_data: str | None
    """The data set of a case that names none; None: the problem makes its own data."""
    blocks: tuple[Block, ...]
    """The model's parameters."""
    samples: np.ndarray
    """(workers,) int: how many samples each local f_i is a mean over; batches are drawn of them."""
    smooth = True
    """Whether `smoothness` knows the constants; if not, a case must set a stepsize."""
    f_inf: float | None = None
    """A number that f is never below, where the class knows one: bounds of theorems rest on it."""
    has_hessians = False
    """Whether it gives second derivatives, which FedNL needs."""

    summed_by_kernels = False
    """Whether its numbers are sums that kernels take: what they round depends on which are used."""

    metrics: tuple[Metric, ...] = ()
    """What `measure` measures besides METRICS; recorded as columns of these names."""

    def __init__(self, shards: LocalShards, dtype: np.dtype, **options: Any):
        self.set_options(options)

    @cached_property
    def d(self) -> int:
        """How many numbers the model has."""
        return sum(int(np.prod(block.shape)) for block in self.blocks)

    def parts(self, flat: np.ndarray) -> list[np.ndarray]:
        """Views of the blocks of one model (d,), or of one model per worker (workers, d)."""
        ends = np.cumsum([np.prod(block.shape) for block in self.blocks])[:-1]
        parts = np.split(flat, ends, axis=-1)
        shapes = [flat.shape[:-1] + block.shape for block in self.blocks]
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    @classmethod
    @abstractmethod
    def model(cls, dataset: Dataset | None, options: Options) -> tuple[Block, ...]:
        """The model's blocks; `dataset` is None if it makes its own data.

        Raises OptionError for an impossible option, UserError for data that do not fit.
        """

    @classmethod
    def footprint(
        cls,
        blocks: tuple[Block, ...],
        workers: int,
        longest: int,
        itemsize: int,
        options: Options,
    ) -> int:
        """The least bytes that a rank of `workers` workers takes, besides vectors of the model.

        Asked before anything is allocated. `blocks` are the model's, `longest` the rows of the
        longest shard, `itemsize` a number's bytes in the state's dtype.
        """
        return 0

    @abstractmethod
    def gradients(self, x: np.ndarray, out: np.ndarray, batch: Batch | None = None) -> None:
        """Write grad f_i(x) into the rows of `out`, (workers, d).

        `x` is one point (d,), or a point for each worker (workers, d). With a `batch`, the mean
        over all samples becomes the mean over its samples, at a cost in proportion to them; what
        f_i has besides that mean (a regulariser) stays. Only the first call with an x of one shape
        and a batch of one width allocates. Raises IndexError for a row that is no sample.
        """

    @abstractmethod
    def losses(self, x: np.ndarray, out: np.ndarray, batch: Batch | None = None) -> None:
        """Write f_i(x), of the same points and samples, into `out`, (workers,) float64."""

    def hessians(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the second derivatives of f_i at x into `out`, (workers, d, d), symmetric.

        Of all samples, at the same points as `gradients`; where the class `has_hessians`.
        """
        raise NotImplementedError(f"problem {self.name} gives no second derivatives")

    @classmethod
    def hessian_footprint(
        cls, blocks: tuple[Block, ...], workers: int, longest: int, itemsize: int
    ) -> int:
        """Bytes that `hessians` takes besides `footprint`, `out` included; arguments as there."""
        d = sum(int(np.prod(block.shape)) for block in blocks)
        return workers * d * d * itemsize

    def correct(self, x: np.ndarray) -> tuple[float, float]:
        """How many local training and held-out rows are classified rightly; NaN without classes."""
        return np.nan, np.nan

    def measure(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the problem's own `metrics` at x (d,) into `out`, (workers, metrics).

        Their mean over all workers is recorded.
        """

    @classmethod
    def measured(cls) -> dict[str, Metric]:
        """All that is measured of a model, by name. Raises UserError for a name that is taken."""
        own = {metric.name: metric for metric in cls.metrics}
        for name in own:
            if name in COLUMNS or name in THEORY or not name.isidentifier():
                allowed = f"a word, and none of {', '.join([*COLUMNS, *THEORY])}"
                raise UserError(f"problem {cls.name}: metric {name!r}: expected {allowed}")
        return METRICS | own

    def near_minimum(self) -> np.ndarray:
        """Where a search for the minimum starts, (d,): at it, where the class can compute it."""
        return np.zeros(self.d)

    def scale_start(self, x: np.ndarray) -> None:
        """Turn standard normal numbers (d,) into a start, in place; by default they stay."""

    @abstractmethod
    def smoothness(self, mean: MeanOverWorkers) -> Smoothness:
        """The exact constants; collective, because L belongs to the mean of all f_i."""


def largest_eigenvalue(product: Callable[[np.ndarray], np.ndarray], d: int) -> float:
    """The largest eigenvalue of a symmetric positive semidefinite d x d map, by Lanczos (ARPACK).

    `product` may be collective: the start is fixed, so all ranks call it equally often.
    """
    if d < 16:  # too small for ARPACK
        columns = [product(unit) for unit in np.eye(d)]
        return float(np.linalg.eigvalsh(np.array(columns))[-1])
    start = np.random.default_rng(0).standard_normal(d)
    operator = LinearOperator((d, d), matvec=product, dtype=np.float64)
    return float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
