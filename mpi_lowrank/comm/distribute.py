"""Rank 0 reads the data; every rank gets the rows of its own workers and no others."""

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.comm.door import Door
from mpi_lowrank.comm.placement import Placement
from mpi_lowrank.config import Data
from mpi_lowrank.datasets import Dataset, shard_rows, split_test
from mpi_lowrank.datasets.local import LocalShards, Rows

PURPOSE = "setup"


def assign(dataset: Dataset, data: Data, workers: int, seed: int) -> list[list[np.ndarray]]:
    """The row numbers (training, held out) of each worker; held-out rows go round evenly."""
    train, test = split_test(len(dataset.labels), data.test_fraction, seed)
    shards = shard_rows(dataset.labels[train], workers, data.order, seed)
    return [[train[rows] for rows in shards], np.array_split(test, workers)]


def distribute(
    door: Door, placement: Placement, dataset: Dataset | None, assigned: list | None
) -> LocalShards:
    """Hand out the rows; `dataset` and `assigned` (from `assign`) are read on rank 0 only."""
    if door.rank > 0:
        return _receive(door, placement.local)
    parcels = [_pack(dataset, assigned, workers) for workers in _workers(placement)]
    for rank, parcel in enumerate(parcels[1:], start=1):
        for part in parcel:
            door.send(part, rank, PURPOSE)
    return _unpack(parcels[0], placement.local)


def _workers(placement: Placement) -> list[range]:
    return [Placement(placement.total, placement.ranks, r).workers for r in range(placement.ranks)]


def _pack(dataset, assigned, workers):
    """Flat arrays: sizes, then the CSR parts and the labels of the rank's rows."""
    train, test = assigned
    mine = [train[w] for w in workers] + [np.concatenate([test[w] for w in workers])]
    rows = np.concatenate(mine)
    features = dataset.features[rows]
    longest, trained, tested = max(map(len, train)), sum(map(len, train)), sum(map(len, test))
    boolean = features.dtype == bool
    numbers = [features.shape[1], longest, trained, tested, boolean, features.nnz]
    header = np.array([*numbers, *map(len, mine)], dtype=np.int64)
    values = features.data.view(np.uint8) if boolean else features.data
    labels = dataset.labels[rows]
    return header, features.indptr.astype(np.int64), features.indices, values, labels


def _receive(door, local):
    header = np.empty(6 + local + 1, np.int64)
    door.receive(header, 0, PURPOSE)
    rows, nonzeros, boolean = header[6:].sum(), header[5], header[4]
    parts = [
        np.empty(rows + 1, np.int64),
        np.empty(nonzeros, np.int32),
        np.empty(nonzeros, np.uint8 if boolean else np.float64),
        np.empty(rows, np.int8),
    ]
    for part in parts:
        door.receive(part, 0, PURPOSE)
    return _unpack((header, *parts), local)


def _unpack(parcel, local):
    header, starts, columns, values, labels = parcel
    d, longest, trained, tested, boolean, _ = (int(number) for number in header[:6])
    values = values.view(bool) if boolean else values
    features = csr_array((values, columns, starts), shape=(len(labels), d))
    ends = np.cumsum(header[6:])
    rows = [
        Rows(features[end - size : end], labels[end - size : end])
        for end, size in zip(ends, header[6:], strict=True)
    ]
    return LocalShards(rows[:local], rows[local], longest, trained, tested)
