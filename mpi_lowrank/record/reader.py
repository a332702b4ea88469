"""Read a record, finished or still being written, into arrays of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.schema import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, SCHEMA

if TYPE_CHECKING:
    import pandas


class Record:
    """The record at `path` as it was when it was opened; no file stays open.

    `attributes` are the root's, `cases` maps labels to cases in the order they ran. Raises
    UserError for a missing file, one that is not HDF5, or another schema.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with _open(self.path) as file:
            self.attributes = _attributes(file)
            _check_schema(self.path, self.attributes)
            groups = file["cases"].values() if "cases" in file else ()
            cases = [Case(self.path, group) for group in groups]
        self.cases = {case.label: case for case in cases}


class Case:
    """One case: its columns by name (`case["loss"]`), attributes, arrays (L_i), phases, ledger."""

    def __init__(self, path: Path, group: h5py.Group):
        self.path, self._group = path, group.name
        self.attributes = _attributes(group)
        self.label = str(self.attributes["label"])
        self._columns = {name: data[:] for name, data in group["rounds"].items()}
        self.units = {name: data.attrs["units"] for name, data in group["rounds"].items()}
        self.phases = _table(group, "phases", PHASES_DTYPE)
        self.arrays = {
            name: data[:]
            for name, data in group.items()
            if isinstance(data, h5py.Dataset) and name not in ("ledger", "phases")
        }

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self._columns:
            raise UserError(f"{self.path}: {self.label}: no column {column!r}; {self._has()}")
        return self._columns[column]

    def __len__(self) -> int:
        return len(self._columns["round"])

    def columns(self) -> dict[str, np.ndarray]:
        """The per-round columns, all of one length, in the schema's order."""
        return dict(self._columns)

    @property
    def ledger(self) -> np.ndarray:
        """Every MPI call (LEDGER_DTYPE); read from the file each time, for it can be large."""
        with _open(self.path) as file:
            return _table(file[self._group], "ledger", LEDGER_DTYPE)

    def to_pandas(self) -> "pandas.DataFrame":
        """The columns as a data frame indexed by round; its `attrs` are the case's attributes."""
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_pandas needs pandas: python -m pip install pandas") from error
        frame = pandas.DataFrame(self._columns).set_index("round")
        frame.attrs = dict(self.attributes)
        return frame

    def _has(self) -> str:
        return f"it has {', '.join(self._columns or COLUMNS)}"


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such record")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: is not an HDF5 file; a record is what `mpi-lowrank run` writes")
    try:
        # A record is replaced whole, never changed in place: there is nothing to lock.
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise UserError(f"{path}: HDF5 cannot open it: {error}") from error
    with file:
        yield file


def _check_schema(path: Path, attributes: dict[str, object]) -> None:
    schema = attributes.get("schema", "none")
    if schema != SCHEMA:
        raise UserError(f"{path}: its schema is {schema}; this version reads {SCHEMA}")


def _attributes(node: h5py.Group) -> dict[str, object]:
    return {name: _plain(value) for name, value in node.attrs.items()}


def _plain(value: object) -> object:
    """A Python value (str, int, float, bool, list) for what h5py hands out."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _table(group: h5py.Group, name: str, dtype: np.dtype) -> np.ndarray:
    return group[name][:] if name in group else np.empty(0, dtype)
