"""Rank 0 reads the data; every rank gets the rows of its own workers and no others."""

import numpy as np
from scipy.sparse import csr_array, issparse

from mpi_lowrank.datasets import Dataset
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement

PURPOSE = "setup"


def distribute(
    door: Door, placement: Placement, dataset: Dataset | None, assigned: list | None, seed: int
) -> LocalShards:
    """Hand out the rows; `dataset` and `assigned` (from `assign`) are read on rank 0 only."""
    if door.rank > 0:
        return _unpack(_receive(door, placement.local), placement, seed)
    parcels = [_pack(dataset, assigned, workers) for workers in _workers(placement)]
    for rank, parcel in enumerate(parcels[1:], start=1):
        for part in parcel:
            door.send(part, rank, PURPOSE)
    return _unpack(parcels[0], placement, seed)


def _workers(placement: Placement) -> list[range]:
    return [Placement(placement.total, placement.ranks, r).workers for r in range(placement.ranks)]


CLASS, REAL = np.dtype(np.int32), np.dtype(np.float64)
"""The types of labels: see `Dataset`."""

HEADER = 9
"""Numbers in a parcel before the sizes of its shards."""


def _pack(dataset, assigned, workers):
    """Flat arrays: sizes, the labels of the rank's rows, and their CSR parts or dense rows."""
    train, test = assigned
    mine = [train[w] for w in workers] + [np.concatenate([test[w] for w in workers])]
    rows = np.concatenate(mine)
    features = dataset.features[rows]
    sparse = issparse(features)
    stored = features.data if sparse else features
    boolean = stored.dtype == bool
    numbers = [features.shape[1], max(map(len, train)), sum(map(len, train)), sum(map(len, test))]
    real = dataset.labels.dtype == REAL
    numbers += [len(np.unique(dataset.labels)), sparse, boolean, stored.size, real]
    header = np.array([*numbers, *map(len, mine)], dtype=np.int64)
    values = stored.view(np.uint8) if boolean else stored.astype(np.float64)
    parts = [features.indptr.astype(np.int64), features.indices.astype(np.int32)] if sparse else []
    return header, dataset.labels[rows], values, *parts


def _receive(door, local):
    header = np.empty(HEADER + local + 1, np.int64)
    door.receive(header, 0, PURPOSE)
    sparse, boolean, stored, real = header[5:HEADER]
    rows = header[HEADER:].sum()
    labels = np.empty(rows, REAL if real else CLASS)
    parts = [labels, np.empty(stored, np.uint8 if boolean else np.float64)]
    if sparse:
        parts += [np.empty(rows + 1, np.int64), np.empty(stored, np.int32)]
    for part in parts:
        door.receive(part, 0, PURPOSE)
    return header, *parts


def _unpack(parcel, placement, seed):
    header, labels, values, *parts = parcel
    d, longest, trained, tested, classes, sparse, boolean, *_ = map(int, header[:HEADER])
    values = values.view(bool) if boolean else values
    if sparse:
        features = csr_array((values, parts[1], parts[0]), shape=(len(labels), d))
    else:
        features = values.reshape(len(labels), d)
    sizes = header[HEADER:]
    rows = [
        Rows(features[end - size : end], labels[end - size : end])
        for end, size in zip(np.cumsum(sizes), sizes, strict=True)
    ]
    return LocalShards(
        numbers=placement.workers,
        total=placement.total,
        seed=seed,
        workers=rows[:-1],
        test=rows[-1],
        longest=longest,
        train_rows=trained,
        test_rows=tested,
        classes=classes,
    )
