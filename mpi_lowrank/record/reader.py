"""Read a record, finished or still being written, into arrays of its own.

A record may come from anybody and may be damaged. Links out of the file are not followed, names,
types and shapes are checked, and whatever is wrong is one line, a UserError.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.heaps import is_endless
from mpi_lowrank.record.image import SCALES
from mpi_lowrank.record.metrics import METRICS, declared
from mpi_lowrank.record.pieces import grown
from mpi_lowrank.record.schema import (
    ATTRIBUTES,
    BENCH,
    COLUMNS,
    EARLIER_LEDGER_DTYPE,
    LEDGER_DTYPE,
    PHASES_DTYPE,
    REAL,
    SCHEMA,
)
from mpi_lowrank.record.seal import is_broken

if TYPE_CHECKING:
    import pandas

INFLATION = 1100
"""No data set is larger than its bytes on disk times this: zlib packs 1032 zeros into one byte."""

RUN_WITH = (
    *("method", "compressor", "step", "problem", "data", "order"),
    *("workers", "seed", "stepsize", "multiple"),
)
"""Attributes that are columns of a record's data frame."""

RISING = ("round", "seconds", "uplink_bytes", "downlink_bytes")
"""Columns that are sums from the start on, and so never fall."""


class Record:
    """The record at `path` as it was when it was opened; no file stays open.

    `attributes` are the root's, `cases` maps labels to cases in the order they ran. Raises
    UserError for a missing file, one that is not HDF5, is damaged or has another schema.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with opened(self.path) as file:
            self.attributes = attributes_of(file)
            _check_schema(self.path, self.attributes)
            groups = groups_of(file, "cases") if "cases" in file else ()
            cases = [Case(self.path, group) for group in groups]
        self.cases = {case.label: case for case in cases}
        if len(self.cases) < len(cases):
            raise UserError(f"{self.path}: two cases have one label")

    def to_pandas(self) -> "pandas.DataFrame":
        """A row per case and round: the case's label, what it was run with, and its columns.

        Columns that only some cases have are NaN for the others.
        """
        pandas = _pandas()
        frames = []
        for case in self.cases.values():
            given = {name: case.attributes.get(name) for name in RUN_WITH}
            frames.append(pandas.DataFrame({"label": case.label, **given, **case.columns()}))
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


class Case:
    """One case: its columns by name (`case["loss"]`), attributes, arrays (L_i), phases, ledger.

    `metrics` maps names to METRICS and to the metrics that the case's problem has declared.
    """

    def __init__(self, path: Path, group: h5py.Group):
        self.path, self.group = path, group.name
        self.attributes = attributes_of(group)
        self.label = str(self.attributes["label"])
        rounds = _member(group, "rounds", h5py.Group)
        self._columns = {name: _column(rounds, name) for name in rounds}
        if len({len(column) for column in self._columns.values()}) != 1 or "round" not in rounds:
            raise ValueError(f"{rounds.name} has columns that do not fit together")
        for name in RISING:
            _check_rising(name, self._columns.get(name, np.zeros(0)))
        self.units = {name: attributes_of(rounds[name])["units"] for name in rounds}
        own = [name for name in rounds if name not in COLUMNS]
        self.metrics = METRICS | {name: declared(name, attributes_of(rounds[name])) for name in own}
        self.phases = _table(group, "phases", PHASES_DTYPE)
        own = [name for name in group if name not in ("rounds", "ledger", "phases")]
        self.arrays = {name: _numbers(group, name) for name in own}

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
        """The MPI calls (LEDGER_DTYPE); read from the file each time, because it can be large."""
        (ledger,) = ledgers([self])
        return ledger

    def to_pandas(self) -> "pandas.DataFrame":
        """The columns as a data frame indexed by round; its `attrs` are the case's attributes."""
        frame = _pandas().DataFrame(self._columns).set_index("round")
        frame.attrs = dict(self.attributes)
        return frame

    def _has(self) -> str:
        return f"it has {', '.join(self._columns or COLUMNS)}"


def ledgers(cases: Iterable[Case]) -> Iterator[np.ndarray]:
    """The ledger of each case; a file is opened and checked once for its cases in a row."""
    for path, members in groupby(cases, lambda case: case.path):
        with opened(path) as file:
            for case in members:
                yield ledger_of(file[case.group])


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise UserError("to_pandas needs pandas: python -m pip install pandas") from error
    return pandas


def is_running(path: Path) -> bool:
    """Whether `path` is the record of a run that is still writing it or was killed."""
    try:
        with opened(path) as file:
            return bool(file.attrs["status"] == "running")
    except UserError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The open file; whatever is wrong with it or with what is read from it is one UserError."""
    try:
        image = _checked(path)
        # What HDF5 reads of a record never changes in place: there is nothing to lock.
        with h5py.File(image or path, "r", locking=False) as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # h5py and NumPy have many for what a damaged file holds
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read: {reason[:300]}") from error


def _checked(path: Path) -> BytesIO | None:
    """Raise UserError for a damaged file; what its pieces make of it, if it has some."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such record")
    with path.open("rb") as file:
        image = _grown(path, file)
        if image is None and is_broken(file):
            raise UserError(f"{path}: is damaged: its bytes are not those of its checksum")
        if _has_endless_heap(file, image):
            raise UserError(f"{path}: is damaged: a heap of its texts has no end")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: is not an HDF5 file; a record is what `mpi-lowrank run` writes")
    return None if image is None else BytesIO(image)


def _grown(path: Path, file: BinaryIO) -> bytes | None:
    try:
        return grown(file, INFLATION * os.fstat(file.fileno()).st_size)
    except (ValueError, struct.error, zlib.error) as error:
        raise UserError(f"{path}: is damaged: {error}") from error


def _has_endless_heap(file: BinaryIO, image: bytes | None) -> bool:
    if image is not None:
        return is_endless(image)
    if not file.seek(0, os.SEEK_END):
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return is_endless(mapped)


def _check_schema(path: Path, attributes: dict[str, Any]) -> None:
    schema = attributes.get("schema", "none")
    if schema == BENCH:
        raise UserError(f"{path}: is a bench's record, no run's; mpi-lowrank show prints it")
    if schema != SCHEMA:
        raise UserError(f"{path}: its schema is {schema}; this version reads {SCHEMA}")


def attributes_of(node: h5py.Group) -> dict[str, Any]:
    """Its attributes as Python's values. Raises ValueError for those that no record has."""
    own = [name for name in node.attrs if name not in SCALES]
    attributes = {name: _plain(node.attrs[name]) for name in own}
    for name, value in attributes.items():
        if not _fits(value, ATTRIBUTES.get(name)):
            raise ValueError(f"{node.name} has an impossible attribute {name}")
    return attributes


def _plain(value: Any) -> Any:
    """A Python value (str, int, float, bool, list) for what h5py hands out."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _fits(value: object, kind: type | None) -> bool:
    """Whether `value` is of that kind; None stands for any plain value, or a list of them."""
    items = value if isinstance(value, list) else [value]
    if kind == list[str]:
        return isinstance(value, list) and all(isinstance(item, str) for item in items)
    if kind is None:
        return all(isinstance(item, str | int | float) for item in items)
    return isinstance(value, kind)


def groups_of(group: h5py.Group, name: str) -> list[h5py.Group]:
    """The groups in its group `name`; ValueError for anything else there."""
    parent = _member(group, name, h5py.Group)
    return [_member(parent, child, h5py.Group) for child in parent]


def _member(group: h5py.Group, name: str, kind: type) -> h5py.Group | h5py.Dataset:
    """The group or data set `name`, if it lies in this very file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{group.name} has no {name} of its own")
    member = group[name]
    if not isinstance(member, kind):
        raise ValueError(f"{member.name} is no {kind.__name__.lower()}")
    return member


def array_of(group: h5py.Group, name: str) -> np.ndarray:
    """The data set `name`, of one dimension. Raises ValueError, before it allocates, for others."""
    data = _member(group, name, h5py.Dataset)
    if data.external or data.is_virtual:
        raise ValueError(f"{data.name} is in another file")
    if data.ndim != 1 or data.nbytes > INFLATION * data.id.get_storage_size():
        raise ValueError(f"{data.name} has an impossible shape {data.shape}")
    array: np.ndarray = data[:]
    return array


def _column(rounds: h5py.Group, name: str) -> np.ndarray:
    dtype = COLUMNS[name].dtype if name in COLUMNS else REAL
    return _of_type(array_of(rounds, name), dtype, name)


def _check_rising(name: str, column: np.ndarray) -> None:
    begun = column[:1] < 0
    if begun.any() or (column[1:] < column[:-1]).any() or np.isinf(column).any():
        raise ValueError(f"{name} falls, or is no sum of what rounds took")


def ledger_of(group: h5py.Group) -> np.ndarray:
    """Its ledger; that of an earlier version has a row for each call, and does not say so."""
    if "ledger" in group and group["ledger"].dtype == EARLIER_LEDGER_DTYPE:
        calls = _table(group, "ledger", EARLIER_LEDGER_DTYPE)
        ledger = np.ones(len(calls), LEDGER_DTYPE)
        for name in EARLIER_LEDGER_DTYPE.fields or ():
            ledger[name] = calls[name]
        ledger["last"] = calls["round"]
        return ledger
    return _table(group, "ledger", LEDGER_DTYPE)


def _table(group: h5py.Group, name: str, dtype: np.dtype) -> np.ndarray:
    return _of_type(array_of(group, name), dtype, name) if name in group else np.empty(0, dtype)


def _numbers(group: h5py.Group, name: str) -> np.ndarray:
    array = array_of(group, name)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has type {array.dtype}, not one of numbers")
    return array


def _of_type(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    if array.dtype != dtype:
        raise ValueError(f"{name} has type {array.dtype}, not {dtype}")
    return array
