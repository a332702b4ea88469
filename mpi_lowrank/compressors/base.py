"""The contract of a per-worker compressor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np

Wire = Literal["float32", "float64"]
"""The type of a number inside a message."""


class Compressor(ABC):
    """A compressor of vectors of d numbers, d the product of `block`, into messages of `nbytes`.

    To add one: subclass, register, set the attributes below in `__init__`, write `encode` and
    `decode`. The options are the keyword-only arguments of `__init__`, annotated with int, float,
    bool, str, Literal or Shape; an impossible value raises `OptionError`.

    Every array has a leading axis of workers: `x` is (workers, d) in the state's dtype, `messages`
    is (workers, nbytes) uint8, C-contiguous in the last axis. A row's result may depend on that row
    and its generator alone, never on the rows beside it, and `decode` of the same bytes gives the
    same numbers on every rank.
    """

    name: str
    nbytes: int
    """Bytes of one worker's message: all of it crosses the wire, nothing else does."""
    published_floats: int
    """The floats a round that the papers' convention counts (times 32 bits, no indices)."""
    alpha: float | None = None
    """Contraction: E|C(x) - x|^2 <= (1 - alpha)|x|^2 for all x, if it is contractive."""
    omega: float | None = None
    """Variance: E C(x) = x and E|C(x) - x|^2 <= omega |x|^2 for all x, if it is unbiased."""
    random = False
    """Whether `encode` draws from its generators."""

    def prepare(self, local: int, total: int) -> None:  # noqa: B027 (optional by design)
        """Allocate what the calls below need for `local` workers here and `total` in all."""

    @abstractmethod
    def encode(
        self, x: np.ndarray, messages: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> None:
        """Write each row's message; `generators` holds one generator a row if `random`."""

    @abstractmethod
    def decode(self, messages: np.ndarray, out: np.ndarray) -> None:
        """Write what each message stands for into the rows of `out`, (workers, d)."""

    def decode_mean(self, messages: np.ndarray, out: np.ndarray) -> None:
        """Write the mean of all decoded messages, added in row order, into `out`, (d,)."""
        row = np.empty((1, out.size), out.dtype)
        out[:] = 0
        for message in messages:
            self.decode(message[np.newaxis], row)
            out += row[0]
        out /= len(messages)


def fields(messages: np.ndarray, layout: np.dtype) -> np.ndarray:
    """The messages, (workers, nbytes) uint8, seen as (workers,) records of the packed `layout`."""
    return messages.view(layout)[:, 0]
