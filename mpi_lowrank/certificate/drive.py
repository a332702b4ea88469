"""Calls a compressor as the exchange does, without MPI and for any number of workers."""

from collections.abc import Callable, Sequence

import numpy as np

from mpi_lowrank.compressors.base import Compressor, Operator, SharedCompressor, complete
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream
from mpi_lowrank.rounds.state import State

Make = Callable[[], Operator]
"""Makes the operator anew: what it learned before is gone."""


def prepare(operator: Operator, rows: int) -> None:
    """Let it allocate for that many workers, all in this process, and forget the past."""
    operator.remember(State(rows, np.float64))
    operator.prepare(rows, rows)


def pack(
    compressor: Compressor, x: np.ndarray, round: int = 0, seed: int = 0, first: int = 0
) -> np.ndarray:
    """The messages of the rows of x, which belong to workers `first`, `first` + 1, ..."""
    begin(compressor, len(x), round, seed, first)
    messages = np.zeros((len(x), compressor.nbytes), np.uint8)
    compressor.pack(x, messages, own_draws(compressor, len(x), round, seed, first))
    return messages


def begin(compressor: Compressor, rows: int, round: int, seed: int, first: int) -> None:
    """Let it draw what all workers share; senders and receivers both do."""
    if compressor.common:
        shared = Stream(seed, Purpose.COMPRESS, SHARED).at(round)
        compressor.begin(shared, range(first, first + rows))


def own_draws(
    operator: Operator, rows: int, round: int, seed: int, first: int
) -> Sequence[np.random.Generator]:
    """A generator per row, if the operator draws for each worker."""
    workers = range(first, first + rows) if operator.random else ()
    return [Stream(seed, Purpose.COMPRESS, worker).at(round) for worker in workers]


def unpack(compressor: Compressor, messages: np.ndarray, d: int, dtype=np.float64) -> np.ndarray:
    """What the messages stand for, (workers, d)."""
    out = np.full((len(messages), d), np.nan, dtype)
    compressor.unpack(messages, out)
    return out


def reduce(
    compressor: SharedCompressor, x: np.ndarray, round: int = 0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """(own (workers, d), mean (d,), bytes per worker): all workers in lockstep."""
    own, mean = np.full(x.shape, np.nan), np.full(x.shape[1], np.nan)
    shared = Stream(seed, Purpose.COMPRESS, SHARED).at(round)
    draws = own_draws(compressor, len(x), round, seed, 0)
    phases, sent = compressor.reduce(x, own, mean, shared, draws), 0

    def received(rows: np.ndarray) -> np.ndarray:
        nonlocal sent
        sent += rows[0].nbytes
        return rows.astype(np.float64)

    complete(
        phases,
        average=lambda rows: received(rows).mean(axis=0),
        largest=lambda rows: received(rows).max(axis=0),
    )
    return own, mean, sent


def samples(make: Make, x: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """What x (d,) is decoded to in independent draws, (count, d); one row if nothing is drawn."""
    operator = make()
    if isinstance(operator, SharedCompressor):
        return _shared_samples(operator, x, 1 if operator.deterministic else count)
    if operator.deterministic:
        count = 1
    assert isinstance(operator, Compressor)
    # Workers who share a draw are not independent: then one worker per round.
    rows = 1 if operator.common else min(count, 256)
    prepare(operator, rows)
    repeated, drawn = np.repeat(x[np.newaxis], rows, axis=0), []
    for round in range(-(-count // rows)):
        drawn.append(unpack(operator, pack(operator, repeated, round, seed), len(x)))
    return np.concatenate(drawn)


def _shared_samples(operator, x, count):
    drawn = np.empty((count, len(x)))
    for round in range(count):
        prepare(operator, 1)
        drawn[round] = reduce(operator, x[np.newaxis], round)[1]
    return drawn
