"""One sparse matrix for all local workers: both products in one call each, without allocation.

SciPy's public products allocate their results. Its compiled kernels write into a given array; they
are older than the public classes and have kept their signatures.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import _sparsetools, csr_array

from mpi_lowrank.problems.batch import Batch


class Stack:
    """A block-diagonal CSR matrix with one block A_w (`longest` rows, d columns) per worker.

    Row r of worker w is row w * longest + r, column j of worker w is column w * d + j, so that the
    workers' results lie apart. Every row is summed by itself and every column in row order: a
    worker's bits do not depend on which workers share its rank.
    """

    workers: int
    longest: int
    d: int
    starts: np.ndarray  # (workers * longest + 1,): where each row begins in the other two
    columns: np.ndarray
    values: np.ndarray
    _x: np.ndarray  # (workers, d), for a copy of x

    def times(self, x: np.ndarray, out: np.ndarray) -> None:
        """out[w] = A_w x for one x (d,), or a row of x per worker; `out` is (workers, longest)."""
        self._x[...] = x
        out[...] = 0
        _sparsetools.csr_matvec(*self.shape, *self._matrix, self._x.reshape(-1), out.reshape(-1))

    def transposed_times(self, r: np.ndarray, out: np.ndarray) -> None:
        """out[w] = A_w^T r[w]; `r` is (workers, longest), `out` (workers, d)."""
        out[...] = 0
        rows, columns = self.shape
        _sparsetools.csc_matvec(columns, rows, *self._matrix, r.reshape(-1), out.reshape(-1))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole matrix."""
        return self.workers * self.longest, self.workers * self.d

    @property
    def _matrix(self):
        return self.starts, self.columns, self.values


class StackedRows(Stack):
    """The shards of the local workers; a shorter one than `longest` ends with empty rows."""

    def __init__(self, shards: Sequence[csr_array], longest: int, dtype):
        self.workers, self.longest, self.d = len(shards), longest, shards[0].shape[1]
        nonzeros = sum(shard.nnz for shard in shards)
        index = np.int32 if max(*self.shape, nonzeros) < 2**31 else np.int64
        self.values = np.concatenate([shard.data for shard in shards]).astype(dtype)
        self.columns = np.concatenate(
            [shard.indices.astype(index) + w * self.d for w, shard in enumerate(shards)]
        )
        lengths = np.zeros((self.workers, longest), index)
        for row, shard in zip(lengths, shards, strict=True):
            row[: shard.shape[0]] = np.diff(shard.indptr)
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(index)
        self._x = np.empty((self.workers, self.d), dtype)


class DrawnRows(Stack):
    """`longest` rows per worker, copied out of `whole` anew for each batch."""

    def __init__(self, whole: StackedRows, longest: int):
        self._whole, self._x = whole, whole._x
        self.workers, self.longest, self.d = whole.workers, longest, whole.d
        index, rows = whole.starts.dtype, self.workers * longest
        self._first = np.arange(self.workers)[:, np.newaxis] * whole.longest
        self._places = np.zeros((self.workers, longest), np.intp)
        self._rows, self._begins = np.zeros((2, rows), index)
        self.starts = np.zeros(rows + 1, index)
        room = rows * int(np.diff(whole.starts).max())
        self.columns, self.values = np.empty(room, index), np.empty(room, whole.values.dtype)

    def draw(self, batch: Batch) -> None:
        """Become the rows of `batch`, whose numbers must have been checked."""
        starts, lengths = self._whole.starts, self.starts[1:]
        places = np.add(batch.rows, self._first, out=self._places).reshape(-1)
        self._rows[...] = places  # NumPy takes by intp, the kernel by its own type
        np.take(starts, places, out=self._begins, mode="clip")
        np.take(starts[1:], places, out=lengths, mode="clip")
        np.subtract(lengths, self._begins, out=lengths)
        np.cumsum(lengths, dtype=lengths.dtype, out=lengths)
        _sparsetools.csr_row_index(
            len(self._rows), self._rows, *self._whole._matrix, self.columns, self.values
        )
