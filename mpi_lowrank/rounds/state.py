"""What survives a round, by name: what a checkpoint holds and a rank keeps in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Entry:
    """A named array; `per_worker`: its rows are the local workers', in their order.

    `per_rank`: it is this rank's own, as seconds are.
    """

    name: str
    array: np.ndarray
    per_worker: bool
    per_rank: bool = False


class State:
    """The arrays of one case on this rank that later rounds read.

    Each is asked for once, by name, before the first round, starts as zeros, and is changed in
    place. An `array` is the same on every rank, or read on rank 0 alone. Of `rows` a rank has those
    of its `workers`, so that another number of ranks can deal them out anew. What is `of_rank` does
    not change a trajectory: on another number of ranks each goes on with the largest. What every
    round overwrites before it reads it needs no name, and neither do draws, which follow from the
    seed and the round.

    A `planned` state knows its arrays' sizes but takes no memory: what is written there is lost.
    """

    def __init__(self, workers: int, dtype: DTypeLike, planned: bool = False):
        self.workers, self.dtype, self._planned = workers, np.dtype(dtype), planned
        self._prefix = ""
        self._entries: dict[str, Entry] = {}

    def array(
        self, name: str, shape: int | Sequence[int] = (), dtype: DTypeLike | None = None
    ) -> np.ndarray:
        """A new array of zeros, of the state's dtype unless given.

        Raises ValueError for a name that is taken.
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self._add(name, shape, dtype)

    def rows(
        self, name: str, shape: int | Sequence[int] = (), dtype: DTypeLike | None = None
    ) -> np.ndarray:
        """A new array (workers, *shape), a row per local worker; otherwise as `array`."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self._add(name, (self.workers, *shape), dtype, per_worker=True)

    def of_rank(
        self, name: str, shape: int | Sequence[int] = (), dtype: DTypeLike | None = None
    ) -> np.ndarray:
        """A new array of numbers that never fall and may differ between ranks; else as `array`."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self._add(name, shape, dtype, per_rank=True)

    def counter(self, name: str) -> np.ndarray:
        """A new integer, () int64, to be changed in place."""
        return self.array(name, (), np.int64)

    def within(self, part: str, each: int = 1) -> State:
        """The same store, in which every name that is asked for gets the prefix `part`/.

        There `rows` have `each` rows per worker.
        """
        inner = State(each * self.workers, self.dtype, self._planned)
        inner._prefix, inner._entries = f"{self._prefix}{part}/", self._entries
        return inner

    def __iter__(self) -> Iterator[Entry]:
        """All entries of the store, in the order in which they were asked for."""
        return iter(self._entries.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays on this rank."""
        return sum(prod(e.array.shape) * e.array.itemsize for e in self)

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DTypeLike | None,
        per_worker: bool = False,
        per_rank: bool = False,
    ) -> np.ndarray:
        name = self._prefix + name
        if name in self._entries:
            raise ValueError(f"state: {name!r} is asked for twice")
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        made = _sizes_alone(shape, dtype) if self._planned else np.zeros(shape, dtype)
        self._entries[name] = Entry(name, made, per_worker, per_rank)
        return made


def _sizes_alone(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of this shape whose numbers share one place in memory."""
    return as_strided(np.zeros(1, dtype), shape, (0,) * len(shape))
