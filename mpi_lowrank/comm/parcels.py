"""What ranks tell each other besides the counted calls: before a run, and after its last round.

It goes through a door of its own, whose ledger nobody reads: so large arrays go in chunks here too,
and no case's ledger counts these calls.
"""

import json
from typing import Any

import numpy as np
from mpi4py import MPI

from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.door import LIMIT, Door

PURPOSE = "control"


def from_root(comm: MPI.Intracomm, value: object, limit: int = LIMIT) -> Any:
    """Collective: rank 0's `value`, which JSON can hold, on every rank; others' are ignored."""
    door = _uncounted(comm, limit)
    text = _bytes(value)
    size = np.array([text.size])
    door.broadcast(size, PURPOSE)
    told = text if comm.rank == 0 else np.empty(size[0], np.uint8)
    door.broadcast(told, PURPOSE)
    return json.loads(told.tobytes())


def from_all(comm: MPI.Intracomm, value: object, limit: int = LIMIT) -> list:
    """Collective: every rank's `value`, which JSON can hold, on every rank, in rank order."""
    door, text = _uncounted(comm, limit), _bytes(value)
    sizes = _sizes(door, text)
    whole = np.empty(sum(sizes), np.uint8)
    door.allgather(text, whole, sizes, PURPOSE)
    texts = np.split(whole, np.cumsum(sizes)[:-1])
    return [json.loads(text.tobytes()) for text in texts]


def gather_rows(comm: MPI.Intracomm, rows: np.ndarray, limit: int = LIMIT) -> np.ndarray:
    """Collective: every rank's contiguous rows on rank 0, in rank order; none elsewhere."""
    door, mine = _uncounted(comm, limit), rows.view(np.uint8)
    sizes = _sizes(door, mine)
    whole = np.empty(sum(sizes) if comm.rank == 0 else 0, np.uint8)
    door.gather(mine, whole, sizes, PURPOSE)
    return whole.view(rows.dtype)


def _uncounted(comm: MPI.Intracomm, limit: int) -> Door:
    return Door(MpiTransport(comm), limit)


def _bytes(value: object) -> np.ndarray:
    return np.frombuffer(bytearray(json.dumps(value).encode()), np.uint8)


def _sizes(door: Door, mine: np.ndarray) -> list[int]:
    """The bytes of every rank."""
    sizes = np.zeros(door.size, np.int64)
    door.allgather(np.array([mine.nbytes]), sizes, [1] * door.size, PURPOSE)
    return sizes.tolist()
