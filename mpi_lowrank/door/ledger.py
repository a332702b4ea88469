"""The ledger: a row for every call that crosses the door."""

import numpy as np

from mpi_lowrank.record.schema import LEDGER_DTYPE

SETUP = -1
"""The round of calls before round 0."""


class Ledger:
    """Rows of LEDGER_DTYPE in an array that doubles when it is full."""

    def __init__(self, rank: int, capacity: int = 4096):
        self._rows = np.zeros(capacity, LEDGER_DTYPE)
        self._rows["rank"] = rank
        self._count = 0

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
        row = self._rows[self._count]
        row["round"], row["op"], row["dtype"], row["count"] = round, op, dtype, count
        row["bytes"], row["modelled"], row["seconds"] = nbytes, modelled, seconds
        row["purpose"] = purpose
        self._count += 1

    def rows(self) -> np.ndarray:
        """The rows written so far, a view."""
        return self._rows[: self._count]

    def nbytes(self, purpose: str) -> int:
        """The bytes that this rank handed over for `purpose`."""
        rows = self.rows()
        return int(rows["bytes"][rows["purpose"] == purpose.encode()].sum())
