"""The record of a bench: HDF5 with a group for each row, its numbers and all of its samples."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.image import image, in_memory, put
from mpi_lowrank.record.place import Place
from mpi_lowrank.record.reader import array_of, attributes_of, groups_of, opened
from mpi_lowrank.record.schema import BENCH, REAL

Sampled = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]
"""A row's numbers and texts, None where there is nothing, and its samples in seconds by name."""

TEXTS = ("label", "table", "status", "until", "disturbed", "oversubscribed")
"""What is a text in a row; all else is a number."""


class BenchWriter:
    """The record of one bench, which is there only once it is whole.

    Raises UserError where `path` cannot be written, or exists and is not to be overwritten.
    """

    def __init__(self, path: Path, overwrite: bool):
        self._place = Place(path, overwrite)

    def write(self, attributes: Mapping[str, object], rows: Iterable[Sampled]) -> None:
        """Write all of it. Raises UserError where that fails."""
        with in_memory() as file:
            put(file, {"schema": BENCH, "status": "finished", **attributes})
            group = file.create_group("rows", track_order=True)
            for number, (told, samples) in enumerate(rows):
                row = group.create_group(f"{number:04}", track_order=True)
                put(row, told)
                for name, seconds in samples.items():
                    put(row, {name: seconds})
                    put(row[name], {"units": "s"})
            self._place.claim(image(file))
        self._place.finish()


class BenchRecord:
    """A bench's record: its `attributes`, `rows`, and for each row its `samples` by name.

    Raises UserError for a file that is damaged or another one.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with opened(self.path) as file:
            self.attributes = attributes_of(file)
            if self.attributes.get("schema") != BENCH:
                raise UserError(f"{self.path}: is not the record of a bench")
            groups = groups_of(file, "rows")
            self.rows = [_checked(attributes_of(group)) for group in groups]
            self.samples = [{name: _seconds(group, name) for name in group} for group in groups]


def is_bench(path: Path | str) -> bool:
    """Whether a bench wrote the file. Raises UserError for one that is damaged."""
    with opened(Path(path)) as file:
        return bool(attributes_of(file).get("schema") == BENCH)


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if not isinstance(value, str if name in TEXTS else int | float):
            raise ValueError(f"a row has an impossible {name}")
    if "label" not in row:
        raise ValueError("a row has no label")
    return row


def _seconds(group: Any, name: str) -> np.ndarray:
    array = array_of(group, name)
    if array.dtype != REAL:
        raise ValueError(f"{name} has type {array.dtype}, not {REAL}")
    return array
