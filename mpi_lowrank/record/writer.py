"""Write a record so that it can be read at any moment and survives any death of its writer.

HDF5 updates a file by many writes; most files torn between two of them cannot be read, and a write
that fails (a full disk) can crash the process. So HDF5 builds the record in memory, and a flush
appends to the record what has changed in that image; now and then it writes the image beside the
record and moves it over. Readers see what one flush has left, need no lock and block nobody, and a
process killed at any instruction leaves what can be read.
"""

import secrets
from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.checkpoint import Checkpoint, as_image, beside
from mpi_lowrank.record.flushes import Flushes
from mpi_lowrank.record.image import CHECKED, along_rounds, image, in_memory, put
from mpi_lowrank.record.metrics import Metric
from mpi_lowrank.record.place import Place
from mpi_lowrank.record.reader import Case, opened
from mpi_lowrank.record.schema import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, REAL, SCHEMA
from mpi_lowrank.text.names import group_name

CHUNK = 512  # rows; 4 KB per column, 47 KB of the ledger
VERDICT = {"valid", "reasons", "timing_valid", "timing_reasons", "traceback"}


class RecordWriter:
    """The record of one experiment, written by one process.

    `path` must not exist, unless `overwrite`: then the record grows in `path`.partial, and only
    `close(finished=True)` puts it in the earlier one's place. `live` names the file that can be
    read meanwhile; no other run gets it, and a run that has not finished is never overwritten.
    Attributes are str, int, float, bool or lists of one of them; None is left out. Raises UserError
    where the record cannot be made.

    With `kept`, labels of cases, the record at `path` goes on with those cases; the caller makes
    sure, by a lock, that no other process writes it.
    """

    def __init__(
        self,
        path: Path,
        attributes: Mapping[str, object],
        overwrite: bool = False,
        kept: Container[str] | None = None,
    ):
        self._place = Place(path, overwrite, going_on=kept is not None)
        self._file = in_memory()
        self._case: h5py.Group | None = None
        self._columns: Set[str] = frozenset()
        self._rows: list[Mapping[str, float]] = []
        self._flushes = Flushes(self._file, self._place)
        put(self._file, {"schema": SCHEMA, "status": "running", **attributes})
        self._file.create_group("cases", track_order=True)
        if kept is None:
            self._place.claim(image(self._file))
        else:
            self._keep(kept)

    @property
    def live(self) -> Path:
        """The file that can be read now."""
        return self._place.live

    def start_case(
        self, label: str, attributes: Mapping[str, object], metrics: Iterable[Metric] = ()
    ) -> None:
        """Begin the case `label`; an array among the attributes becomes a data set of that name.

        `metrics` are this case's columns besides COLUMNS.
        """
        self._end_case()
        cases, name = self._file["cases"], group_name(label)
        if name in cases:
            raise UserError(f"{self.live}: two cases are labelled {label!r}")
        case = cases.create_group(name, track_order=True)
        try:
            known = {"label": label, "status": "running", "run_id": secrets.token_hex(8)}
            put(case, known | dict(attributes))
            _make_columns(case, metrics)
            _make_table(case, "ledger", LEDGER_DTYPE, compression="gzip", shuffle=True)
            _make_table(case, "phases", PHASES_DTYPE)
        except BaseException:
            del cases[name]
            raise
        self._begin_case(case)

    def drop(self, label: str) -> None:
        """Leave out the case `label`, which is to run anew."""
        self._end_case()
        del self._file["cases"][group_name(label)]

    def go_on(self, label: str, done: int) -> None:
        """Go on with the case `label` after `done` rounds; later rows are dropped."""
        self._end_case()
        case = self._file["cases"][group_name(label)]
        rows = np.count_nonzero(case["rounds/round"][:] < done)
        for column in case["rounds"].values():
            column.resize((rows,))
        for name in VERDICT & set(case.attrs):
            del case.attrs[name]
        put(case, {"status": "running"})
        self._begin_case(case)

    def read(self, label: str) -> Case:
        """The case `label` as it is now."""
        self._store_rows()
        return Case(self.live, self._file["cases"][group_name(label)])

    def append(self, row: Mapping[str, float]) -> None:
        """Queue one row of the current case's columns; a column left out is NaN."""
        assert self._case is not None
        if unknown := row.keys() - self._columns:
            raise ValueError(f"no column {', '.join(unknown)}")
        self._rows.append(dict(row))

    def flush(self, now: bool = False) -> None:
        """Write the record if a flush is due; `now`: at once, or raise UserError after a while.

        A flush that fails, on a full disk say, is told once; the next one writes what is missing.
        """
        if now:
            self._store_rows()
            self._flushes.insist()
        elif self._flushes.due():
            self.publish()

    def publish(self) -> bool:
        """Write the record; return whether that succeeded."""
        self._store_rows()
        return self._flushes.publish()

    def _flush_soon(self) -> None:
        """Flush at a case's beginning and end, which must not be lost."""
        self._flushes.hurry()
        self.flush()

    def keep(self, done: int, arrays: dict[str, np.ndarray], ranks: int) -> None:
        """Write the current case's checkpoint, once the record has all that it builds on.

        The ledger is the record's.

        A failure is told once; the earlier checkpoint stays, and fits the record as well.
        """
        assert self._case is not None
        if self.publish():
            run_id, ledger = self._case.attrs["run_id"], self._case["ledger"][:]
            checkpoint = Checkpoint(run_id, done, ledger, arrays, ranks)
            self._place.set_beside(beside(self.live), as_image(checkpoint))

    def set_tables(self, ledger: np.ndarray, phases: np.ndarray) -> None:
        """Replace the current case's ledger and phases.

        `ledger` is of LEDGER_DTYPE, `phases` of PHASES_DTYPE, one row per rank.
        """
        assert self._case is not None  # between start_case and its end
        for name, rows in (("ledger", ledger), ("phases", phases)):
            table = self._case[name]
            table.resize(rows.shape)
            table[...] = rows

    def finish_case(
        self, attributes: Mapping[str, object], ledger: np.ndarray, phases: np.ndarray
    ) -> None:
        """End the current case: `attributes` (status, valid, ...), and its tables."""
        assert self._case is not None
        self.set_tables(ledger, phases)
        put(self._case, attributes)
        self._end_case()
        self._flush_soon()

    def end_case(
        self, label: str, attributes: Mapping[str, object], verdict: Mapping[str, object]
    ) -> None:
        """End the case `label` with nothing but a `verdict`, and write it at once.

        A case that had not begun is begun with `attributes`.
        """
        self._end_case()
        cases, name = self._file["cases"], group_name(label)
        if name not in cases or cases[name].attrs["label"] != label:
            self.start_case(label, attributes)
        put(cases[name], verdict)
        self._end_case()
        self.publish()

    def close(self, attributes: Mapping[str, object] | None = None, finished: bool = True) -> None:
        """Write the rest; `finished` also moves the record over the one it overwrites.

        Raises UserError where that fails. If there is no room the ledgers are left out; if there is
        still none, the file stays as the last successful flush left it.
        """
        status = "finished" if finished else "interrupted"
        put(self._file, {"status": status, **(attributes or {})})
        self.flush(now=True)
        self._file.close()
        if finished:
            self._place.finish()

    def _begin_case(self, case: h5py.Group) -> None:
        self._case, self._columns = case, frozenset(case["rounds"])
        self._flush_soon()

    def _end_case(self) -> None:
        self._store_rows()
        self._case = None

    def _store_rows(self) -> None:
        if self._rows:
            assert self._case is not None
            _append(self._case["rounds"], self._rows)
            self._rows = []

    def _keep(self, kept: Container[str]) -> None:
        with opened(self._place.live) as earlier:
            for name, case in earlier["cases"].items():
                if case.attrs["label"] in kept:
                    earlier.copy(case, self._file["cases"], name)
                    along_rounds(self._file["cases"][name]["rounds"])
        self._flushes.insist()


def _make_columns(case: h5py.Group, metrics: Iterable[Metric]) -> None:
    rounds = case.create_group("rounds", track_order=True)
    for name, column in COLUMNS.items():
        _make_column(rounds, name, column.dtype, {"units": column.units})
    for metric in metrics:
        declared = asdict(metric)
        _make_column(rounds, declared.pop("name"), REAL, declared)
    along_rounds(rounds)


def _make_column(
    rounds: h5py.Group, name: str, dtype: np.dtype, attributes: Mapping[str, object]
) -> None:
    shape = {"shape": (0,), "maxshape": (None,), "chunks": (CHUNK,)}
    put(rounds.create_dataset(name, dtype=dtype, **shape, **CHECKED), attributes)


def _make_table(case: h5py.Group, name: str, dtype: np.dtype, **packed: object) -> None:
    shape = {"shape": (0,), "maxshape": (None,), "chunks": (CHUNK,)}
    case.create_dataset(name, dtype=dtype, **shape, **packed, **CHECKED)


def _append(rounds: h5py.Group, rows: list[Mapping[str, float]]) -> None:
    for name, data in rounds.items():
        old = len(data)
        values = [row.get(name, np.nan) for row in rows]
        data.resize((old + len(rows),))
        data[old:] = np.array(values, dtype=data.dtype)
