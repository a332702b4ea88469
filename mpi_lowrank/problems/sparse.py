"""One sparse matrix for all local workers: both products in one call each, without allocation."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import _sparsetools, csr_array


class StackedRows:
    """The shards A_i of the local workers as one block-diagonal CSR matrix.

    Row r of worker w is row w * longest + r, column j of worker w is column w * d + j, so that the
    workers' results lie apart. Every row is summed by itself and every column in row order:
    a worker's bits do not depend on who stands beside it.

    SciPy's public product allocates its result; its compiled kernels, which take one, are older
    than the public classes and have kept their signature.
    """

    def __init__(self, shards: Sequence[csr_array], longest: int, dtype):
        self.workers, self.longest, self.d = len(shards), longest, shards[0].shape[1]
        self.shape = (self.workers * longest, self.workers * self.d)
        nonzeros = sum(shard.nnz for shard in shards)
        index = np.int32 if max(*self.shape, nonzeros) < 2**31 else np.int64
        self._values = np.concatenate([shard.data for shard in shards]).astype(dtype)
        self._columns = np.concatenate(
            [shard.indices.astype(index) + w * self.d for w, shard in enumerate(shards)]
        )
        lengths = np.zeros((self.workers, longest), index)
        for row, shard in zip(lengths, shards, strict=True):
            row[: shard.shape[0]] = np.diff(shard.indptr)
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(index)
        self._x = np.empty((self.workers, self.d), dtype)

    def times(self, x: np.ndarray, out: np.ndarray) -> None:
        """out[w] = A_w x for one x (d,) or a row of x a worker; `out` is (workers, longest)."""
        self._x[...] = x
        out[...] = 0
        _sparsetools.csr_matvec(*self.shape, *self._matrix, self._x.reshape(-1), out.reshape(-1))

    def transposed_times(self, r: np.ndarray, out: np.ndarray) -> None:
        """out[w] = A_w^T r[w]; `r` is (workers, longest), `out` (workers, d)."""
        out[...] = 0
        rows, columns = self.shape
        _sparsetools.csc_matvec(columns, rows, *self._matrix, r.reshape(-1), out.reshape(-1))

    @property
    def _matrix(self):
        return self._starts, self._columns, self._values
