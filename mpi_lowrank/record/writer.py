"""Write a record so that it can be read at any moment and survives any death of its writer.

HDF5 updates a file by many writes, and most files torn between two of them cannot be read. So the
file under the record's name is never opened for writing: a flush copies it, adds to the copy and
moves the copy over it. Readers see the earlier file or the later one, need no lock and block
nobody, and a process killed at any instruction leaves a whole file.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.schema import COLUMNS, SCHEMA

INTERVAL = 2.0  # seconds between flushes at least
SHARE = 0.05  # of the time that flushes may take: a large file is copied less often
PATIENCE = 10.0  # seconds that a flush which must succeed tries again
CHUNK = 512  # rows; 4 KB a column

Edit = Callable[[h5py.File], None]


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
        self._edits: list[Edit] = []
        self._rows: list[Mapping[str, float]] = []
        self._group = ""
        self._labels: set[str] = set()
        self._due = 0.0
        self._new = True
        self._edits.append(lambda file: _make_root(file, attributes))
        self._write(patience=0.0)

    def start_case(self, label: str, attributes: Mapping[str, object]) -> None:
        """Begin the case `label`; an array among the attributes becomes a data set of that name."""
        if label in self._labels:
            raise UserError(f"{self.path}: two cases are labelled {label!r}")
        self._labels.add(label)
        self._group = group = "cases/" + label.replace("/", "∕")  # HDF5 paths split at "/"
        given = {"label": label, "status": "running", **attributes}
        self._edits.append(lambda file: _make_case(file, group, given))
        self.flush()

    def append(self, row: Mapping[str, float]) -> None:
        """Queue one row of the current case's columns; a column left out is NaN."""
        if not row.keys() <= COLUMNS.keys():
            raise ValueError(f"no column {', '.join(row.keys() - COLUMNS.keys())}")
        self._rows.append(dict(row))

    def flush(self, now: bool = False) -> None:
        """Write what is queued if it is time; `now`: at once, trying for PATIENCE seconds.

        What could not be written (a full or busy file system) stays queued for the next flush.
        """
        if now:
            self._write(PATIENCE)
        elif time.monotonic() >= self._due:
            self._try_write()

    def finish_case(
        self, attributes: Mapping[str, object], ledger: np.ndarray, phases: np.ndarray
    ) -> None:
        """End the current case: `attributes` (status, valid, ...), and its two tables.

        `ledger` is of LEDGER_DTYPE, `phases` of PHASES_DTYPE, one row a rank.
        """
        self._queue_rows()
        group = self._group
        self._edits.append(lambda file: _finish_case(file[group], attributes, ledger, phases))
        self.flush(now=True)

    def close(self, attributes: Mapping[str, object] | None = None, finished: bool = True) -> None:
        """Write the rest; `finished` also moves the record over the one it overwrites."""
        status = {"status": "finished" if finished else "interrupted"}
        self._queue_rows()
        self._edits.append(lambda file: _put(file, status | dict(attributes or {})))
        self.flush(now=True)
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

    def _queue_rows(self) -> None:
        if self._rows:
            group, rows, self._rows = self._group, self._rows, []
            self._edits.append(lambda file: _append(file[group]["rounds"], rows))

    def _write(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while (error := self._try_write()) is not None:
            if time.monotonic() >= deadline:
                raise UserError(f"{self.live}: cannot be written: {error}")
            time.sleep(0.2)

    def _try_write(self) -> Exception | None:
        self._queue_rows()
        began = time.monotonic()
        error = self._publish() if self._edits else None
        took = time.monotonic() - began
        self._due = began + max(INTERVAL, took / SHARE)
        return error

    def _publish(self) -> Exception | None:
        scratch = self.live.with_name(self.live.name + ".flush")
        try:
            self._edit_copy(scratch)
            os.replace(scratch, self.live)
        except (OSError, RuntimeError) as error:  # HDF5 reports a full disk as either
            return error
        finally:
            scratch.unlink(missing_ok=True)
        self._new = False
        self._edits.clear()
        return None

    def _edit_copy(self, scratch: Path) -> None:
        if not self._new:
            shutil.copyfile(self.live, scratch)
        # The scratch file is this process's own, and some cluster file systems have no locks.
        with h5py.File(
            scratch, "w" if self._new else "r+", track_order=True, locking=False
        ) as file:
            for edit in self._edits:
                edit(file)


def _put(target: h5py.Group, attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            target.create_dataset(name, data=value)
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            target.attrs.create(name, list(value), (len(value),), h5py.string_dtype())
        elif value is not None:
            target.attrs[name] = value


def _make_root(file: h5py.File, attributes: Mapping[str, object]) -> None:
    _put(file, {"schema": SCHEMA, "status": "running", **attributes})
    file.create_group("cases", track_order=True)


def _make_case(file: h5py.File, path: str, attributes: Mapping[str, object]) -> None:
    case = file.create_group(path, track_order=True)
    _put(case, attributes)
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


def _finish_case(
    case: h5py.Group, attributes: Mapping[str, object], ledger: np.ndarray, phases: np.ndarray
) -> None:
    _put(case, attributes)
    packed = {"compression": "gzip", "shuffle": True} if len(ledger) else {}
    case.create_dataset("ledger", data=ledger, **packed)
    case.create_dataset("phases", data=phases)
