"""The calls of a transport as a bench makes them: what each rank hands over, and what it must get.

Arrays are float32 and hold whole numbers so small that their sums over ranks are exact in any
order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpi_lowrank.door import Transport, calls

NUMBER = np.dtype(np.float32)
_PERIOD = 251


@dataclass(frozen=True)
class Movement:
    """One call on this rank; `received` is what it fills, `expected` what must then be there.

    `times`: how many such calls, one after the other, a `move` makes.
    """

    call: calls.Call
    move: Callable[[], None]
    received: np.ndarray
    expected: np.ndarray
    times: int = 1

    def wrong_byte(self) -> int | None:
        """Move onto bytes that are all wrong, and return the first that is wrong afterwards."""
        got = self.received.view(np.uint8)
        np.invert(self.expected.view(np.uint8), out=got)
        self.move()
        wrong = got != self.expected.view(np.uint8)
        return int(np.argmax(wrong)) if wrong.any() else None


def handed(rank: int, count: int) -> np.ndarray:
    """What a rank hands over: other numbers than any rank near it."""
    return ((np.arange(count) * 7 + 13 * rank) % _PERIOD).astype(NUMBER)


def allgather(lines: Transport, count: int) -> Movement:
    mine, whole = handed(lines.rank, count), _everybodys(lines, count)
    got, counts = np.empty_like(whole), [count] * lines.size
    return Movement(calls.ALLGATHER, lambda: lines.allgather(mine, got, counts), got, whole)


def gather(lines: Transport, count: int) -> Movement:
    mine, counts = handed(lines.rank, count), [count] * lines.size
    whole = _everybodys(lines, count) if lines.rank == 0 else _NOTHING
    got = np.empty_like(whole)
    return Movement(calls.GATHER, lambda: lines.gather(mine, got, counts), got, whole)


def broadcast(lines: Transport, count: int) -> Movement:
    told = handed(0, count)
    if lines.rank == 0:
        return Movement(calls.BROADCAST, lambda: lines.broadcast(told, 0), _NOTHING, _NOTHING)
    got = np.empty_like(told)
    return Movement(calls.BROADCAST, lambda: lines.broadcast(got, 0), got, told)


def allreduce(lines: Transport, count: int) -> Movement:
    mine, got = handed(lines.rank, count), np.empty(count, NUMBER)
    total = np.zeros(count, NUMBER)
    for rank in range(lines.size):
        total += handed(rank, count)
    return Movement(calls.ALLREDUCE, lambda: lines.allreduce(mine, got, "sum"), got, total)


def send(lines: Transport, count: int) -> Movement:
    """From rank 0 to the last one, and back: two of the calls, and their receives."""
    mine, got, last = handed(lines.rank, count), np.empty(count, NUMBER), lines.size - 1
    if lines.rank == 0:
        there, back = handed(last, count), lambda: _there_and_back(lines, mine, got)
        return Movement(calls.SEND, back, got, there, times=2)
    if lines.rank == last:
        return Movement(calls.SEND, lambda: _back(lines, mine, got), got, handed(0, count), times=2)
    return Movement(calls.SEND, lambda: None, _NOTHING, _NOTHING, times=2)


def barrier(lines: Transport, count: int) -> Movement:
    return Movement(calls.BARRIER, lines.barrier, _NOTHING, _NOTHING)


ALL = (allreduce, allgather, gather, broadcast, send, barrier)

_NOTHING = np.zeros(0, NUMBER)


def _everybodys(lines: Transport, count: int) -> np.ndarray:
    return np.concatenate([handed(rank, count) for rank in range(lines.size)])


def _there_and_back(lines: Transport, mine: np.ndarray, got: np.ndarray) -> None:
    lines.send(mine, lines.size - 1)
    lines.receive(got, lines.size - 1)


def _back(lines: Transport, mine: np.ndarray, got: np.ndarray) -> None:
    lines.receive(got, 0)
    lines.send(mine, 0)
