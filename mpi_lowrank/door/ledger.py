"""The ledger: the calls that cross the door, of the first and last rounds one by one."""

import numpy as np

from mpi_lowrank.record.schema import LEDGER_DTYPE

SETUP = -1
"""The round of calls before round 0."""

KIND = ("op", "dtype", "purpose")
DIGITS = 19
"""Those of the largest round."""
SUMMED = ("calls", "count", "bytes", "modelled", "seconds")


class Ledger:
    """Rows of LEDGER_DTYPE: a row for every call of the setup, of the first and the last rounds.

    The calls between are summed by kind and by decade of rounds (10 to 99, 100 to 999, ...). Which
    calls that are follows from their rounds alone, whenever it is done. `ranks` together keep
    ROUNDS rounds at either end, each rank its share, and one at least.
    """

    ROUNDS = 256

    def __init__(self, rank: int, ranks: int = 1, capacity: int = 4096):
        self._rows = np.zeros(capacity, LEDGER_DTYPE)
        self._rank, self._kept = rank, max(1, self.ROUNDS // ranks)
        self._count = 0
        self.added = 0
        """The calls that were added, for `since`."""

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
        """Write the row of one call; the arguments are LEDGER_DTYPE's fields."""
        if self._count == len(self._rows):
            self._make_room()
        # A whole row at once takes an eighth of the time that its fields take one by one.
        told = self._rank, round, round, op, dtype, 1, count, nbytes, modelled, seconds, purpose
        self._rows[self._count] = told
        self._count += 1
        self.added += 1

    def rows(self) -> np.ndarray:
        """All rows, a view: setup and first rounds, sums, last rounds."""
        self._fold()
        return self._rows[: self._count]

    def since(self, added: int) -> np.ndarray:
        """The calls since so many were added, all of one round or of the setup; a view."""
        return self._rows[self._count - (self.added - added) : self._count]

    def restore(self, rows: np.ndarray) -> None:
        """Go on from the `rows` of a ledger, in place of one's own."""
        self._count = len(rows)
        self._rows = np.concatenate([rows, np.zeros(max(len(rows), 4096), LEDGER_DTYPE)])

    def nbytes(self, purpose: str) -> int:
        """The bytes that this rank handed over for `purpose`."""
        rows = self._rows[: self._count]
        return int(rows["bytes"][rows["purpose"] == purpose.encode()].sum())

    def _make_room(self) -> None:
        self._fold()
        if 2 * self._count > len(self._rows):
            self._rows = np.concatenate([self._rows, self._rows])

    def _fold(self) -> None:
        rows = self._rows[: self._count]
        until = rows["last"].max(initial=SETUP) - self._kept
        early, late = rows["round"] < self._kept, rows["last"] > until
        between = ~early & ~late
        if np.any(rows["calls"][between] == 1):
            folded = np.concatenate([rows[early], summed(rows[between]), rows[~early & late]])
            self._count = len(folded)
            self._rows[: self._count] = folded


def summed(rows: np.ndarray) -> np.ndarray:
    """The rows added up by rank, kind and decade of rounds, in the order of their first ones.

    Whole numbers stay exact, and the others are added one after the other: sums of some rows and
    the rows after them have the same bits as those of all rows at once.
    """
    keys = (rows["rank"] * DIGITS + _digits(rows["round"])) * len(rows) + _kinds(rows)
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    group = np.argsort(order)[group]
    sums = rows[first[order]]
    for name in SUMMED:
        sums[name] = _gathered(np.add, rows[name], group, len(sums))
    sums["last"] = _gathered(np.maximum, rows["last"], group, len(sums))
    return sums


def _gathered(into: np.ufunc, values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """A number for each group; of contiguous arrays, for which NumPy takes a twentieth as long."""
    numbers = np.zeros(groups, values.dtype)
    into.at(numbers, group, values.copy())
    return numbers


def _kinds(rows: np.ndarray) -> np.ndarray:
    """A number for each row, one for each kind of call."""
    kinds = np.full(len(rows), -1)
    while (left := np.flatnonzero(kinds < 0)).size:
        alike = [rows[name] == rows[name][left[0]] for name in KIND]
        kinds[np.logical_and.reduce(alike)] = left[0]
    return kinds


def _digits(rounds: np.ndarray) -> np.ndarray:
    """How many digits each round has, less one."""
    return np.searchsorted(10 ** np.arange(1, DIGITS), rounds, side="right")
