"""The contract of a compressor: per worker and gathered, or shared and Allreduced."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np

Wire = Literal["float32", "float64"]
"""The type of a number inside a message."""


class Operator(ABC):
    """What every compressor tells of itself, for a block of d numbers, d the product of its shape.

    Made with (block shape, state's dtype, **options). The options are the keyword-only arguments of
    `__init__`, annotated with int, float, bool, str, Literal or Shape; an impossible value raises
    `OptionError`.
    """

    name: str
    shared = False
    """Whether its coefficients are Allreduced (`SharedCompressor`) or its messages gathered."""
    per_block = False
    """Whether it compresses each block of the model by its own shape, or all as one vector."""
    nbytes: int
    """Bytes a worker contributes to a round: all of them cross the wire, nothing else does."""
    published_floats: int
    """The floats a round that the papers' convention counts (times 32 bits, no indices)."""
    alpha: float | None = None
    """Contraction: E|C(x) - x|^2 <= (1 - alpha)|x|^2 for all x, if it is contractive."""
    omega: float | None = None
    """Variance: E C(x) = x and E|C(x) - x|^2 <= omega |x|^2 for all x, if it is unbiased."""
    contraction: Literal["worker", "mean"] = "worker"
    """What alpha is promised for: each worker's vector, or only the mean over workers."""
    random = False
    """Whether it draws random numbers."""


class Compressor(Operator):
    """A per-worker compressor: vectors into messages of `nbytes`, gathered by everybody.

    To add one: subclass, register, set `nbytes`, `published_floats` and `alpha` or `omega` in
    `__init__`, write `encode` and `decode`.

    Every array has a leading axis of workers: `x` is (workers, d) in the state's dtype, `messages`
    is (workers, nbytes) uint8, C-contiguous in the last axis. A row's result may depend on that row
    and its generator alone, never on the rows beside it, and `decode` of the same bytes gives the
    same numbers on every rank.
    """

    def prepare(self, local: int, total: int) -> None:
        """Allocate what the calls below need for `local` workers here and `total` in all."""

    @abstractmethod
    def encode(
        self, x: np.ndarray, messages: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> None:
        """Write each row's message; `generators` holds one generator a row if `random`."""

    @abstractmethod
    def decode(self, messages: np.ndarray, out: np.ndarray) -> None:
        """Write what each message stands for into the rows of `out`, (workers, d)."""

    def decode_sum(self, messages: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
        """Write sum_i weights[i] decode(messages[i]), added in row order, into `out`, (d,)."""
        row = np.empty((1, out.size), out.dtype)
        out[:] = 0
        for message, weight in zip(messages, weights, strict=True):
            self.decode(message[np.newaxis], row)
            row *= weight
            out += row[0]


Phases = Generator[np.ndarray, np.ndarray, None]
"""Yields the local workers' coefficients, (workers, k) in the wire's dtype; is sent their mean over
all workers, (k,) in the state's dtype; any number of times."""


class SharedCompressor(Operator):
    """A compressor that is linear once its basis is common, so that its coefficients are summed.

    It never sees MPI: `reduce` yields what is to be averaged over workers and is sent the average
    back. Everything it draws comes from a generator that is the same on every rank.
    """

    shared = True

    def prepare(self, local: int) -> None:
        """Allocate what `reduce` needs for `local` workers, and forget the past."""

    @abstractmethod
    def reduce(
        self,
        x: np.ndarray,
        own: np.ndarray | None,
        mean: np.ndarray,
        generator: np.random.Generator,
    ) -> Phases:
        """Compress the rows of x, (workers, d).

        Writes what each row stands for into `own`, (workers, d), unless that is None, and the mean
        of that over all workers into `mean`, (d,).
        """


def fields(messages: np.ndarray, layout: np.dtype) -> np.ndarray:
    """The messages, (workers, nbytes) uint8, seen as (workers,) records of the packed `layout`."""
    return messages.view(layout)[:, 0]
