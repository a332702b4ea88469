"""Write a record so that it can be read at any moment and survives any death of its writer.

HDF5 updates a file by many writes; most files torn between two of them cannot be read, and a write
that fails (a full disk) can crash the process. So HDF5 builds the record in memory, and a flush
writes that image beside the record and moves it over. Readers see the earlier file or the later
one, need no lock and block nobody, and a process killed at any instruction leaves a whole file.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.schema import COLUMNS, SCHEMA

INTERVAL = 2.0  # seconds between flushes at least
SHARE = 0.05  # of the time that flushes may take: a large record is written less often
HEAD_START = 1.0  # seconds that they may take beyond it: the short cases of a small record
PATIENCE = 10.0  # seconds that a flush which must succeed tries again
CHUNK = 512  # rows; 4 KB a column


class RecordWriter:
    """The record of one experiment, written by one process.

    `path` must not exist, unless `overwrite`: then the record grows in `path`.partial and takes the
    earlier one's place in `close(finished=True)`, and nowhere else. `live` names the file that can
    be read meanwhile. Attributes are str, int, float, bool or lists of one of them; None is left
    out. Raises UserError where the record cannot be made.
    """

    def __init__(self, path: Path, attributes: Mapping[str, object], overwrite: bool = False):
        self.path = Path(os.path.realpath(path))  # moving over a link would replace the link
        self.live = self._live(overwrite)
        self._file = h5py.File(
            str(self.live), "w", driver="core", backing_store=False, track_order=True
        )
        self._case: h5py.Group | None = None
        self._rows: list[Mapping[str, float]] = []
        self._opened, self._due, self._spent = time.monotonic(), 0.0, 0.0
        _put(self._file, {"schema": SCHEMA, "status": "running", **attributes})
        self._file.create_group("cases", track_order=True)
        self._publish(patience=0.0)

    def start_case(self, label: str, attributes: Mapping[str, object]) -> None:
        """Begin the case `label`; an array among the attributes becomes a data set of that name."""
        self._store_rows()
        name = label.replace("/", "∕")  # HDF5 paths split at "/"
        if name in self._file["cases"]:
            raise UserError(f"{self.path}: two cases are labelled {label!r}")
        self._case = self._file["cases"].create_group(name, track_order=True)
        _put(self._case, {"label": label, "status": "running", **attributes})
        _make_columns(self._case)
        self._flush_soon()

    def append(self, row: Mapping[str, float]) -> None:
        """Queue one row of the current case's columns; a column left out is NaN."""
        if not row.keys() <= COLUMNS.keys():
            raise ValueError(f"no column {', '.join(row.keys() - COLUMNS.keys())}")
        self._rows.append(dict(row))

    def flush(self, now: bool = False) -> None:
        """Write the record if it is time; `now`: at once, trying for PATIENCE seconds.

        What cannot be written (a full disk, say) is kept for the next flush; UserError if `now`.
        """
        if now:
            self._publish(PATIENCE)
        elif self._due <= time.monotonic() and self._affordable():
            self._try_publish()

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

        `ledger` is of LEDGER_DTYPE, `phases` of PHASES_DTYPE, one row a rank.
        """
        self._store_rows()
        _put(self._case, attributes)
        packed = {"compression": "gzip", "shuffle": True} if len(ledger) else {}
        self._case.create_dataset("ledger", data=ledger, **packed)
        self._case.create_dataset("phases", data=phases)
        self._flush_soon()

    def fail_case(
        self, label: str, attributes: Mapping[str, object], verdict: Mapping[str, object]
    ) -> None:
        """End the case `label` by `verdict` alone, and write it at once.

        Where the case had not begun it begins here, with `attributes`.
        """
        if self._case is None or self._case.attrs["label"] != label:
            self.start_case(label, attributes)
        self._store_rows()
        _put(self._case, verdict)
        self.flush(now=True)

    def close(self, attributes: Mapping[str, object] | None = None, finished: bool = True) -> None:
        """Write the rest; `finished` also moves the record over the one it overwrites."""
        status = "finished" if finished else "interrupted"
        _put(self._file, {"status": status, **(attributes or {})})
        self.flush(now=True)
        self._file.close()
        if finished and self.live != self.path:
            os.replace(self.live, self.path)
            self.live = self.path

    def _live(self, overwrite: bool) -> Path:
        if not self.path.parent.is_dir():
            raise UserError(f"{self.path}: there is no folder {self.path.parent}; make it first")
        if self.path.is_dir():
            raise UserError(f"{self.path}: is a folder; name a file in it")
        if not self.path.exists():
            return self.path
        if not overwrite:
            raise UserError(f"{self.path}: exists; give another name, or --overwrite to replace it")
        return self.path.with_name(self.path.name + ".partial")

    def _store_rows(self) -> None:
        if self._rows:
            _append(self._case["rounds"], self._rows)
            self._rows = []

    def _publish(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while (error := self._try_publish()) is not None:
            if time.monotonic() >= deadline:
                raise UserError(f"{self.live}: cannot be written: {error.strerror}")
            time.sleep(0.2)

    def _try_publish(self) -> OSError | None:
        began = time.monotonic()
        self._store_rows()
        self._file.flush()
        error = _replace(self.live, self._file.id.get_file_image())
        self._due = began + INTERVAL
        self._spent += time.monotonic() - began
        return error


def _replace(path: Path, image: bytes) -> OSError | None:
    scratch = path.with_name(path.name + ".flush")
    try:
        scratch.write_bytes(image)
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        return error
    return None


def _put(target: h5py.Group, attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            target.create_dataset(name, data=value)
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            target.attrs.create(name, list(value), (len(value),), h5py.string_dtype())
        elif value is not None:
            target.attrs[name] = value


def _make_columns(case: h5py.Group) -> None:
    rounds = case.create_group("rounds", track_order=True)
    for name, column in COLUMNS.items():
        data = rounds.create_dataset(name, (0,), column.dtype, maxshape=(None,), chunks=(CHUNK,))
        data.attrs["units"] = column.units


def _append(rounds: h5py.Group, rows: list[Mapping[str, float]]) -> None:
    for name, column in COLUMNS.items():
        data, old = rounds[name], len(rounds[name])
        values = [row.get(name, np.nan) for row in rows]
        data.resize((old + len(rows),))
        data[old:] = np.array(values, dtype=column.dtype)
