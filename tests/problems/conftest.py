import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mpi_lowrank.datasets import load, shard_rows, split_test
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.problems.batch import Batches


@pytest.fixture(scope="session")
def digits():
    """Four workers on one rank, the last with one row more; 100 rows held out."""
    data = load("digits")
    train, test = split_test(len(data.labels), 100 / 1797, 0)
    assigned = [train[rows] for rows in shard_rows(data.labels[train], 4, "by_label", 0)]
    rows = [Rows(data.features[r], data.labels[r]) for r in [*assigned, test]]
    return LocalShards(range(4), 4, 0, rows[:-1], rows[-1], 425, 1697, 100, 10)


@pytest.fixture
def one_by_one():
    """The same workers, each on a rank of its own."""

    def split(shards):
        for local, number in enumerate(shards.numbers):
            mine = shards.workers[local : local + 1]
            yield replace(shards, numbers=range(number, number + 1), workers=mine)

    return split


@pytest.fixture
def peak():
    """Bytes that a call needs at once beyond those that were there before."""

    def measure(call):
        call()
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure


@pytest.fixture
def gradient_peaks(peak):
    """`peak` at one point and at own ones, on all samples and on a batch of `size`."""

    def measure(problem, x, size):
        workers = len(problem.samples)
        own, out = np.tile(x, (workers, 1)), np.zeros((workers, problem.d), x.dtype)
        batch = Batches(0, range(workers), problem.samples, size).at(0)
        requests = [(point, rows) for point in (x, own) for rows in (None, batch)]
        return [peak(partial(problem.gradients, point, out, rows)) for point, rows in requests]

    return measure


@pytest.fixture
def mean():
    """What a problem with all workers on one rank is given to average over workers."""
    return lambda rows: np.mean(rows, axis=0)
