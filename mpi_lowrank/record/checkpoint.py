"""What a running case needs to go on: one file beside its record, replaced whole."""

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.record.image import image, in_memory, put
from mpi_lowrank.record.reader import array_of, ledger_of, opened

SCHEMA = "mpi-lowrank/checkpoint/2"


@dataclass(frozen=True)
class Checkpoint:
    """A case of a record after `done` rounds."""

    case: str
    """The `run_id` of the case in the record."""
    done: int
    ledger: np.ndarray
    """The rows of the case's ledger then, of LEDGER_DTYPE."""
    arrays: dict[str, np.ndarray]
    """Each (bytes,) uint8, by name: workers' rows in worker order, ranks' in rank order."""
    ranks: int


def beside(record: Path) -> Path:
    """The file of the checkpoint of the run that writes `record`."""
    return Path(f"{os.path.realpath(record)}.checkpoint")


def as_image(checkpoint: Checkpoint) -> bytes:
    """The bytes of the checkpoint's file. They take its arrays out of it, to save memory."""
    with in_memory() as file:
        given = {name: getattr(checkpoint, name) for name in ("case", "done", "ledger", "ranks")}
        put(file, {"schema": SCHEMA, **given})
        state = file.create_group("state", track_order=True)
        for number, name in enumerate(list(checkpoint.arrays)):
            array = checkpoint.arrays.pop(name)
            state.create_dataset(str(number), data=array).attrs["name"] = name
        return image(file)


def read(path: Path) -> Checkpoint | None:
    """The checkpoint in that file, None if there is none; UserError if it cannot be read."""
    if not path.exists():
        return None
    with opened(path) as file:
        attributes = dict(file.attrs)
        if attributes.pop("schema", None) != SCHEMA:
            raise UserError(f"{path}: is no checkpoint of this version")
        return Checkpoint(
            case=str(attributes["case"]),
            **{name: int(attributes[name]) for name in ("done", "ranks")},
            ledger=ledger_of(file),
            arrays=dict(_named(file["state"], number) for number in file["state"]),
        )


def _named(state: h5py.Group, number: str) -> tuple[str, np.ndarray]:
    array = array_of(state, number)
    if array.dtype != np.uint8:
        raise ValueError(f"{number} has type {array.dtype}, not uint8")
    return str(state[number].attrs["name"]), array
