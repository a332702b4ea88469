"""Minibatches: which samples of its shard each worker's gradient is the mean over."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.randomness import Purpose, Stream


class Batch:
    """Some samples of every local worker.

    `rows` (workers, width) int: their numbers in the worker's shard, from 0. Of row w the first
    `sizes[w]`, at least 1, count; the rest is padding, with the number of any sample.
    `weights` (workers, width) float64: 1 / sizes[w], and 0 in the padding. The loss of a batch is
    the sum of its samples' losses by these weights, plus the regulariser.
    """

    def __init__(self, rows: np.ndarray, sizes: np.ndarray):
        self.rows, self.sizes = rows, sizes
        counts = sizes[:, np.newaxis]
        self.weights = (np.arange(rows.shape[1]) < counts) / counts

    @property
    def width(self) -> int:
        """Rows of the arrays that hold it, with padding."""
        return int(self.rows.shape[1])

    def check(self, samples: np.ndarray) -> None:
        """Raise IndexError for a number that is not below its worker's `samples` (workers,).

        Compiled products read memory by these numbers.
        """
        if self.rows.min() < 0 or not (self.rows < samples[:, np.newaxis]).all():
            raise IndexError(f"a batch of rows that are not among the workers' {samples} samples")

    def take(self, whole: np.ndarray, out: np.ndarray) -> None:
        """out (workers, ..., width): the batch's samples of `whole` (workers, ..., samples)."""
        for source, rows, target in zip(whole, self.rows, out, strict=True):
            np.take(source, rows, axis=-1, out=target, mode="clip")  # "raise" would copy `out`


class Batches:
    """Batches of `size` samples without replacement, or of the whole shard where it has no more.

    Drawn anew for each round from (seed, round, worker) alone: the same on any number of ranks, in
    any order, after any restart. Every set of `size` samples is equally likely, so the mean of a
    batch's gradient is the gradient of all samples.
    """

    def __init__(self, seed: int, numbers: Iterable[int], samples: np.ndarray, size: int):
        """`numbers`: those of the local workers; `samples`: see `Problem.samples`."""
        if size < 1:
            raise OptionError("size", size, "an integer from 1")
        self._streams = [Stream(seed, Purpose.SAMPLE, worker) for worker in numbers]
        self._samples, sizes = samples.tolist(), np.minimum(samples, size)
        self._batch = Batch(np.zeros((len(samples), size), np.intp), sizes)

    def at(self, round: int, call: int = 0) -> Batch:
        """The batch of that round, or of a call within it; overwritten by the next one."""
        rows, sizes = self._batch.rows, self._batch.sizes
        for row, stream, samples, size in zip(
            rows, self._streams, self._samples, sizes, strict=True
        ):
            drawn = stream.at(round, call).choice(samples, size, replace=False, shuffle=False)
            row[:size] = drawn
        return self._batch


class Samples(Protocol):
    """Samples of the local workers, with arrays for what is computed from them."""

    def draw(self, whole: Self, batch: Batch) -> None:
        """Become those of `batch` among the `whole`."""


S = TypeVar("S", bound=Samples)


class Chosen(Generic[S]):
    """What a problem computes with: all its samples, or those of a batch.

    `samples` (workers,): how many there are. `room`: makes the arrays for batches of a width; it is
    called once per width.
    """

    def __init__(self, whole: S, samples: np.ndarray, room: Callable[[int], S]):
        self.whole, self._samples, self._room = whole, samples, cache(room)

    def __call__(self, batch: Batch | None) -> S:
        """All of them, or those of `batch` until the next one of its width."""
        if batch is None:
            return self.whole
        batch.check(self._samples)
        few = self._room(batch.width)
        few.draw(self.whole, batch)
        return few
