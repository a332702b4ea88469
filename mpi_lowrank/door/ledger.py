"""The ledger: a row for every call that crosses the door."""

import numpy as np

from mpi_lowrank.record.schema import LEDGER_DTYPE

SETUP = -1
"""The round of calls before round 0."""


class Ledger:
    """Rows of LEDGER_DTYPE, kept until they are taken, in an array that doubles when it is full."""

    def __init__(self, rank: int, capacity: int = 4096):
        self._rows = np.zeros(capacity, LEDGER_DTYPE)
        self._rank = rank
        self._count = 0
        self._taken: dict[bytes, int] = {}

    def add(
        self,
        round: int,
        op: str,
        dtype: str,
        count: int,
        nbytes: int,
        modelled: float,
        seconds: float,
        purpose: str,
    ) -> None:
        """Write one row; the arguments are LEDGER_DTYPE's fields."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, self._rows])
        # A whole row at once takes an eighth of the time that its fields take one by one.
        told = self._rank, round, op, dtype, count, nbytes, modelled, seconds, purpose
        self._rows[self._count] = told
        self._count += 1

    def rows(self) -> np.ndarray:
        """The rows written since the last `take`, a view."""
        return self._rows[: self._count]

    def take(self) -> np.ndarray:
        """Hand over the rows written since the last `take`; only their bytes are remembered."""
        rows = self.rows().copy()
        self.count(rows)
        self._count = 0
        return rows

    def count(self, rows: np.ndarray) -> None:
        """Remember the bytes of rows that were written elsewhere."""
        while len(rows):
            purpose = rows["purpose"][0]
            same = rows["purpose"] == purpose
            nbytes = int(rows["bytes"][same].sum())
            self._taken[purpose] = self._taken.get(purpose, 0) + nbytes
            rows = rows[~same]

    def forget(self) -> None:
        """Drop all rows and what is remembered of them."""
        self._count, self._taken = 0, {}

    def nbytes(self, purpose: str) -> int:
        """The bytes that this rank handed over for `purpose`."""
        rows, key = self.rows(), purpose.encode()
        return self._taken.get(key, 0) + int(rows["bytes"][rows["purpose"] == key].sum())
