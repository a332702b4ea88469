"""Checkpoints of a running case: all that its rounds and its observers go on from, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.door import Door
from mpi_lowrank.record.checkpoint import Checkpoint
from mpi_lowrank.record.schema import LEDGER_DTYPE
from mpi_lowrank.rounds.state import Entry
from mpi_lowrank.run.loop import Observer, told

if TYPE_CHECKING:
    from mpi_lowrank.run.assembly import Assembly
    from mpi_lowrank.run.recorder import Recorder

FIRST = 2.0
"""Seconds until the ledger is first written. The next time comes after as long again, and so on."""

PURPOSE = "control"


class Checkpoints:
    """Takes the checkpoints of a case, and writes its ledger now and then. Collective.

    `door`: a door of its own, so that no case's ledger has its calls. `every`: seconds, 0 for none
    but those at a signal. They are taken outside the method's clock.
    """

    def __init__(
        self,
        made: Assembly,
        door: Door,
        recorder: Recorder,
        observers: Sequence[Observer],
        every: float,
    ):
        self._made, self._door, self._recorder, self._every = made, door, recorder, every
        self._put_away = told(observers, "put_away")
        self._last = self._noted = 0.0

    def at(self, done: int, seconds: float, asked: bool) -> None:
        """After `done` rounds all ranks agree on `seconds` and on being `asked` to stop."""
        due = 0 < self._every <= seconds - self._last
        if done > 0 and (due or asked):
            self._last = self._noted = seconds
            self.take(done)
        elif seconds >= max(FIRST, 2 * self._noted):
            self._noted = seconds
            self._recorder.note_calls()
            self._door.barrier(PURPOSE)  # nobody's next round waits for rank 0

    def take(self, done: int) -> None:
        """Write the checkpoint of the case after `done` rounds."""
        began = perf_counter()
        self._recorder.checkpoints[0] += 1
        for put_away in self._put_away:
            put_away()
        arrays = pack(self._made, self._door)
        self._recorder.note_calls()
        if arrays is not None:
            self._recorder.keep(done, arrays, self._door.size)
        self._door.barrier(PURPOSE)
        self._recorder.checkpoints[1] += perf_counter() - began


def entries(made: Assembly) -> Iterator[tuple[str, Entry]]:
    """All named arrays of a case, the method's and the run's, with names that differ."""
    for store, state in (("state", made.state), ("notes", made.notes)):
        for entry in state:
            yield f"{store}/{entry.name}", entry


def pack(made: Assembly, door: Door) -> dict[str, np.ndarray] | None:
    """Collective: all named arrays by name, each (bytes,) uint8, on rank 0; None elsewhere.

    Workers' rows are in worker order; what each rank has of its own is in rank order.
    """
    packed = {name: _whole(made, entry, door) for name, entry in entries(made)}
    return packed if door.rank == 0 else None


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _counts(made: Assembly, entry: Entry) -> list[int]:
    """The bytes that each rank has of an entry that differs between ranks."""
    placement, mine = made.ground.placement, entry.array.nbytes
    if entry.per_rank:
        return [mine] * placement.ranks
    return [count * (mine // placement.local) for count in placement.counts]


def _whole(made: Assembly, entry: Entry, door: Door) -> np.ndarray:
    mine = _bytes(entry.array)
    if not (entry.per_worker or entry.per_rank):
        return mine.copy()
    counts = _counts(made, entry)
    whole = np.empty(sum(counts) if door.rank == 0 else 0, np.uint8)
    door.gather(mine, whole, counts, PURPOSE)
    return whole


def unpack(made: Assembly, door: Door, checkpoint: Checkpoint | None) -> None:
    """Collective: put rank 0's checkpoint into a case that was just made, on any number of ranks.

    Raises ValueError on rank 0 for a checkpoint of another case.
    """
    ranks = np.array([checkpoint.ranks if checkpoint else 0])
    door.broadcast(ranks, PURPOSE)
    for name, entry in entries(made):
        whole = None if checkpoint is None else checkpoint.arrays.get(name)
        _restore(made, entry, door, whole, int(ranks[0]))
    _restore_ledger(made, door, checkpoint)


def check_fits(made: Assembly, checkpoint: Checkpoint | None) -> None:
    """Raise ValueError where there is a checkpoint and it does not hold this case's arrays."""
    if checkpoint is None:
        return
    placement = made.ground.placement
    for name, entry in entries(made):
        each = entry.array.nbytes
        if entry.per_worker:
            each = each // placement.local * placement.total
        each *= checkpoint.ranks if entry.per_rank else 1
        found = checkpoint.arrays.get(name)
        if found is None or found.size != each:
            raise ValueError(f"the checkpoint has no {name} of {each} bytes")


def _restore(
    made: Assembly, entry: Entry, door: Door, whole: np.ndarray | None, ranks: int
) -> None:
    mine = _bytes(entry.array)
    if entry.per_worker:
        _deal_out(door, _counts(made, entry), whole, mine)
        return
    told = np.empty(mine.size * (ranks if entry.per_rank else 1), np.uint8)
    if whole is not None:
        told[:] = whole
    door.broadcast(told, PURPOSE)
    rows = told.view(entry.array.dtype).reshape(-1, *entry.array.shape)
    one = rows[door.rank % len(rows)] if len(rows) in (1, door.size) else rows.max(axis=0)
    entry.array[...] = one


def _restore_ledger(made: Assembly, door: Door, checkpoint: Checkpoint | None) -> None:
    """Every row goes on at one rank: at its own, if there is one of that number."""
    counts, whole = np.zeros(door.size, np.int64), None
    if checkpoint:
        at = checkpoint.ledger["rank"] % door.size
        counts += np.bincount(at, minlength=door.size)
        whole = _bytes(checkpoint.ledger[np.argsort(at, kind="stable")])
    door.broadcast(counts, PURPOSE)
    mine = np.zeros(counts[door.rank], LEDGER_DTYPE)
    _deal_out(door, (counts * LEDGER_DTYPE.itemsize).tolist(), whole, _bytes(mine))
    made.door.ledger.restore(mine)


def _deal_out(door: Door, counts: list[int], whole: np.ndarray | None, mine: np.ndarray) -> None:
    """Fill `mine` with this rank's part of rank 0's `whole`."""
    if whole is None:
        door.receive(mine, 0, PURPOSE)
        return
    for rank, part in enumerate(np.split(whole, np.cumsum(counts)[:-1])):
        if rank == 0:
            mine[:] = part
        else:
            door.send(part, rank, PURPOSE)
