import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from mpi_lowrank.datasets import load, shard_rows, split_test
from mpi_lowrank.datasets.local import LocalShards, Rows


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
def mean():
    """What a problem with all workers on one rank is given to average over workers."""
    return lambda rows: np.mean(rows, axis=0)
