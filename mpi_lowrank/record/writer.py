"""Write a record so that it can be read at any moment and survives any death of its writer.

HDF5 updates a file by many writes; most files torn between two of them cannot be read, and a write
that fails (a full disk) can crash the process. So HDF5 builds the record in memory, and a flush
writes that image beside the record and moves it over. Readers see the earlier file or the later
one, need no lock and block nobody, and a process killed at any instruction leaves a whole file.
"""

import errno
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.metrics import Metric
from mpi_lowrank.record.place import Image, Place
from mpi_lowrank.record.schema import COLUMNS, REAL, SCHEMA
from mpi_lowrank.record.seal import seal
from mpi_lowrank.text.names import group_name

INTERVAL = 2.0  # seconds between flushes at least
SHARE = 0.05  # of the time that flushes may take: a large record is written less often
HEAD_START = 1.0  # seconds that they may take beyond it: the short cases of a small record
CHUNK = 512  # rows; 4 KB per column
CHECKED = {"fletcher32": True}  # any HDF5 reader then refuses a chunk whose bits have changed
_numbers = itertools.count()
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RecordWriter:
    """The record of one experiment, written by one process.

    `path` must not exist, unless `overwrite`: then the record grows in `path`.partial and takes the
    earlier one's place in `close(finished=True)`, and nowhere else. `live` names the file that can
    be read meanwhile; no other run gets it, and a run that has not finished is never overwritten.
    Attributes are str, int, float, bool or lists of one of them; None is left out. Raises UserError
    where the record cannot be made.
    """

    def __init__(self, path: Path, attributes: Mapping[str, object], overwrite: bool = False):
        self._place = Place(path, overwrite)
        self._file = _in_memory()
        self._case: h5py.Group | None = None
        self._rows: list[Mapping[str, float]] = []
        self._opened, self._due, self._spent = time.monotonic(), 0.0, 0.0
        _put(self._file, {"schema": SCHEMA, "status": "running", **attributes})
        self._file.create_group("cases", track_order=True)
        self._place.claim(_image(self._file))

    @property
    def live(self) -> Path:
        """The file that can be read now."""
        return self._place.live

    def start_case(
        self, label: str, attributes: Mapping[str, object], metrics: Iterable[Metric] = ()
    ) -> None:
        """Begin the case `label`; an array among the attributes becomes a data set of that name.

        `metrics` are columns of this case beside COLUMNS.
        """
        self._end_case()
        cases, name = self._file["cases"], group_name(label)
        if name in cases:
            raise UserError(f"{self.live}: two cases are labelled {label!r}")
        case = cases.create_group(name, track_order=True)
        try:
            _put(case, {"label": label, "status": "running", **attributes})
            _make_columns(case, metrics)
        except BaseException:
            del cases[name]
            raise
        self._case = case
        self._flush_soon()

    def append(self, row: Mapping[str, float]) -> None:
        """Queue one row of the current case's columns; a column left out is NaN."""
        assert self._case is not None
        if unknown := row.keys() - self._case["rounds"].keys():
            raise ValueError(f"no column {', '.join(unknown)}")
        self._rows.append(dict(row))

    def flush(self, now: bool = False) -> None:
        """Write the record if it is time; `now`: at once, trying for seconds, or raise UserError.

        What cannot be written (a full disk, say) is told once and kept for the next flush.
        """
        if now:
            self._store_rows()
            self._insist(_image(self._file))
        elif self._due <= time.monotonic() and self._affordable():
            self._publish()

    def _affordable(self) -> bool:
        allowed = HEAD_START + SHARE * (time.monotonic() - self._opened)
        return self._spent <= allowed

    def _flush_soon(self) -> None:
        """Flush at a case's beginning or end: from here on it must not be lost."""
        self._due = 0.0
        self.flush()

    def finish_case(
        self, attributes: Mapping[str, object], ledger: np.ndarray, phases: np.ndarray
    ) -> None:
        """End the current case: `attributes` (status, valid, ...), and its two tables.

        `ledger` is of LEDGER_DTYPE, `phases` of PHASES_DTYPE, one row per rank.
        """
        assert self._case is not None  # between start_case and here
        _put(self._case, attributes)
        packed = {"compression": "gzip", "shuffle": True} if len(ledger) else {}
        self._case.create_dataset("ledger", data=ledger, **packed, **CHECKED)
        self._case.create_dataset("phases", data=phases, **CHECKED)
        self._end_case()
        self._flush_soon()

    def end_case(
        self, label: str, attributes: Mapping[str, object], verdict: Mapping[str, object]
    ) -> None:
        """End the case `label` by `verdict` alone, and write it at once.

        Where the case had not begun it begins here, with `attributes`.
        """
        self._end_case()
        cases, name = self._file["cases"], group_name(label)
        if name not in cases or cases[name].attrs["label"] != label:
            self.start_case(label, attributes)
        _put(cases[name], verdict)
        self._end_case()
        self._publish()

    def close(self, attributes: Mapping[str, object] | None = None, finished: bool = True) -> None:
        """Write the rest; `finished` also moves the record over the one it overwrites.

        UserError where that cannot be. For want of room the ledgers are left out; if that is not
        enough, the file ends with the last flush that succeeded.
        """
        status = "finished" if finished else "interrupted"
        _put(self._file, {"status": status, **(attributes or {})})
        self.flush(now=True)
        self._file.close()
        if finished:
            self._place.finish()

    def _end_case(self) -> None:
        self._store_rows()
        self._case = None

    def _store_rows(self) -> None:
        if self._rows:
            assert self._case is not None
            _append(self._case["rounds"], self._rows)
            self._rows = []

    def _publish(self) -> None:
        began = time.monotonic()
        self._store_rows()
        self._place.publish(_image(self._file))
        self._due = began + INTERVAL
        self._spent += time.monotonic() - began

    def _insist(self, image: Image) -> None:
        try:
            self._place.insist(image)
        except OSError as error:
            kept = "the file ends with its last flush"
            if error.errno in FULL and self._place.attempt(_without_ledgers(self._file)) is None:
                kept = "the file has all but the ledgers"
            reason = f"cannot be written: {error.strerror}; {kept}"
            raise UserError(f"{self.live}: {reason}") from error


def _in_memory() -> h5py.File:
    name = f"record {next(_numbers)}"  # HDF5 has one open file of a name
    return h5py.File(name, "w", driver="core", backing_store=False, track_order=True)


def _image(file: h5py.File) -> Image:
    """The file's bytes and their seal."""
    file.flush()
    image = file.id.get_file_image()
    return image, seal(image)


def _without_ledgers(file: h5py.File) -> Image:
    """The same of a copy without what is largest and no table or figure needs."""
    with _in_memory() as copy:
        _copy_attributes(file, copy)
        cases = copy.create_group("cases", track_order=True)
        for name, case in file["cases"].items():
            target = cases.create_group(name, track_order=True)
            _copy_attributes(case, target)
            for child in case.keys() - {"ledger"}:
                file.copy(case[child], target)
        return _image(copy)


def _copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value


def _put(target: h5py.Group, attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            target.create_dataset(name, data=value, **CHECKED)
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            texts = [_storable(item) for item in value]
            target.attrs.create(name, texts, (len(texts),), h5py.string_dtype())
        elif value is not None:
            target.attrs[name] = _storable(value) if isinstance(value, str) else value


def _storable(text: str) -> str:
    """`text` as HDF5 can hold it: a command line may have bytes that are no UTF-8."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _make_columns(case: h5py.Group, metrics: Iterable[Metric]) -> None:
    rounds = case.create_group("rounds", track_order=True)
    for name, column in COLUMNS.items():
        _make_column(rounds, name, column.dtype, {"units": column.units})
    for metric in metrics:
        declared = asdict(metric)
        _make_column(rounds, declared.pop("name"), REAL, declared)


def _make_column(
    rounds: h5py.Group, name: str, dtype: np.dtype, attributes: Mapping[str, object]
) -> None:
    shape = {"shape": (0,), "maxshape": (None,), "chunks": (CHUNK,)}
    _put(rounds.create_dataset(name, dtype=dtype, **shape, **CHECKED), attributes)


def _append(rounds: h5py.Group, rows: list[Mapping[str, float]]) -> None:
    for name, data in rounds.items():
        old = len(data)
        values = [row.get(name, np.nan) for row in rows]
        data.resize((old + len(rows),))
        data[old:] = np.array(values, dtype=data.dtype)
