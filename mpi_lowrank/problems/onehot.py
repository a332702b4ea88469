"""Rows of zeros and ones: their columns alone say everything."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.problems.sparse import StackedRows

PART = 5
"""Columns in a part of a row."""

_REPEATS = 4
"""How often parts must occur in the mean, that sums of theirs are worth it."""


class Parts:
    """A worker's rows, each cut into parts of `width` columns, the last one filled up with d.

    `distinct` (p, PART): the different parts, filled up with d. `codes`: which ones the rows have,
    one row after the other; `counts` (rows,): how many.
    """

    def __init__(self, shard: csr_array, width: int):
        d, entries = shard.shape[1], np.diff(shard.indptr)
        self.counts = -(-entries // width)
        ends = np.cumsum(self.counts)
        within = np.arange(shard.nnz) - np.repeat(shard.indptr[:-1], entries)
        part = np.repeat(ends - self.counts, entries) + within // width
        table = np.full((int(self.counts.sum()), PART), d, np.int64)
        table[part, within % width] = shard.indices
        keys = table @ (d + 1) ** np.arange(PART)
        _, first, self.codes = np.unique(keys, return_index=True, return_inverse=True)
        self.distinct = table[first]

    @classmethod
    def of(cls, shard: csr_array) -> "Parts":
        """In parts of PART columns where these repeat, else column by column."""
        parts = cls(shard, PART)
        repeated = len(parts.codes) >= _REPEATS * len(parts.distinct)
        return parts if repeated else cls(shard, 1)


class OneHotRows(StackedRows):
    """Rows whose entries are all 1, multiplied by compiled `kernels` (`compiled.rows`).

    Categorical data repeat themselves: a sum is taken once for each distinct part of rows, and a
    row's is the sum of its parts'. As in `StackedRows` a worker's bits depend on its own rows
    alone; the products of the two differ by round-off, in a sum of k numbers at most by k units in
    the last place of the sum of their magnitudes.
    """

    def __init__(self, shards: Sequence[csr_array], longest: int, dtype, kernels):
        super().__init__(shards, longest, dtype)
        cut, self._kernels = [Parts.of(shard) for shard in shards], kernels
        starts = np.cumsum([0, *(len(parts.distinct) for parts in cut)])
        counts = np.zeros((self.workers, longest), np.int64)
        for row, parts in zip(counts, cut, strict=True):
            row[: len(parts.counts)] = parts.counts
        self._cut = (
            np.concatenate([parts.codes for parts in cut]).astype(np.uint32),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64),
            starts.astype(np.uint64),
            np.concatenate([parts.distinct for parts in cut]).astype(np.uint32),
        )
        self._sums = np.zeros(np.diff(starts).max(), dtype)
        self._ended = np.zeros((self.workers, self.d + 1), dtype)
        """A vector per worker, and behind it the 0 that fills up parts."""

    def times(self, x, out):
        self._ended[:, :-1], self._ended[:, -1] = x, 0
        self._kernels.times(*self._cut, self._ended, self._sums, out)

    def transposed_times(self, r, out):
        self._kernels.transposed_times(*self._cut, r, self._sums, self._ended)
        out[...] = self._ended[:, :-1]
