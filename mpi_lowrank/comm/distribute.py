"""Rank 0 has the data; every rank gets the rows of its own workers and no others.

See `redistribute` for data that several ranks have read.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array, issparse

from mpi_lowrank.datasets import Dataset
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.errors import UserError

PURPOSE = "setup"


def distribute(
    door: Door,
    placement: Placement,
    dataset: Dataset | None,
    assigned: list | None,
    seed: int,
    together: Callable = lambda step: step(),
) -> LocalShards:
    """Collective: deal out the rows; `dataset` and `assigned` (see `assign`) are rank 0's alone.

    Raises UserError, in what `together` carries out on all ranks, if a rank has received other rows
    than rank 0 has sent.
    """
    parcel = (
        _receive(door, placement.local) if door.rank else _send(door, placement, dataset, assigned)
    )
    return together(lambda: _unpack(parcel, placement, seed))


def _send(door, placement, dataset, assigned):
    parcels = [_pack(dataset, assigned, workers) for workers in workers_of_ranks(placement)]
    for rank, parcel in enumerate(parcels[1:], start=1):
        for part in parcel:
            door.send(part, rank, PURPOSE)
    return parcels[0]


def workers_of_ranks(placement: Placement) -> list[range]:
    """The workers of each rank."""
    return [Placement(placement.total, placement.ranks, r).workers for r in range(placement.ranks)]


CLASS, REAL = np.dtype(np.int32), np.dtype(np.float64)
"""The types of labels: see `Dataset`."""

HEADER = 9
"""How many numbers of a parcel come before the sizes of its shards."""


def _pack(dataset, assigned, workers):
    """Flat arrays: sizes, the labels of the rank's rows, and their CSR parts or dense rows."""
    mine = of_workers(assigned, workers)
    rows = np.concatenate(mine)
    features = dataset.features[rows]
    sparse = issparse(features)
    stored = features.data if sparse else features
    boolean = stored.dtype == bool
    numbers = [features.shape[1], *known(dataset, assigned)]
    numbers += [sparse + 2 * boolean, stored.size, dataset.labels.dtype == REAL]
    values = stored.view(np.uint8) if boolean else stored.astype(np.float64)
    parts = [features.indptr.astype(np.int64), features.indices.astype(np.int32)] if sparse else []
    parts = [dataset.labels[rows], values, *parts]
    header = np.array([*numbers, digest(parts), *map(len, mine)], dtype=np.int64)
    return header, *parts


def of_workers(assigned: list[list[np.ndarray]], workers: range) -> list[np.ndarray]:
    """The row numbers of each of these workers, and last those held out for all of them."""
    train, test = assigned
    return [train[w] for w in workers] + [np.concatenate([test[w] for w in workers])]


def known(dataset: Dataset, assigned: list[list[np.ndarray]]) -> tuple[int, int, int, int]:
    """The longest shard of all workers, all training and held-out rows, and the classes."""
    train, test = (list(map(len, rows)) for rows in assigned)
    return max(train), sum(train), sum(test), len(np.unique(dataset.labels))


def digest(parts: Iterable[np.ndarray]) -> int:
    """A digest of all bytes of the arrays, of 63 bits."""
    told = hashlib.blake2b(digest_size=8)
    for part in parts:
        told.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return int.from_bytes(told.digest(), "little") >> 1


def _receive(door, local):
    header = np.empty(HEADER + local + 1, np.int64)
    door.receive(header, 0, PURPOSE)
    form, stored, real, _ = header[5:HEADER]
    boolean, sparse = divmod(form, 2)
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
    if digest([labels, values, *parts]) != header[HEADER - 1]:
        raise damaged(placement)
    d, longest, trained, tested, classes, form, *_ = map(int, header[:HEADER])
    boolean, sparse = divmod(form, 2)
    values = values.view(bool) if boolean else values
    if sparse:
        features = csr_array((values, parts[1], parts[0]), shape=(len(labels), d))
    else:
        features = values.reshape(len(labels), d)
    known = longest, trained, tested, classes
    return local_shards(Rows(features, labels), header[HEADER:], known, placement, seed)


def damaged(placement: Placement) -> UserError:
    """What is told where received rows are not those that were sent."""
    return UserError(
        f"the rows of workers {placement.workers[0]} to {placement.workers[-1]} are not those "
        "that were read: they were damaged on their way; check the network and MPI"
    )


def local_shards(
    rows: Rows, sizes: Sequence[int], known: tuple[int, ...], placement: Placement, seed: int
) -> LocalShards:
    """Cut this rank's rows into its workers' and the held-out ones, of these `sizes`.

    `known`: the longest shard of all workers, all training and held-out rows, and the classes.
    """
    parts = [
        Rows(rows.features[end - size : end], rows.labels[end - size : end])
        for end, size in zip(np.cumsum(sizes), sizes, strict=True)
    ]
    longest, trained, tested, classes = known
    return LocalShards(
        numbers=placement.workers,
        total=placement.total,
        seed=seed,
        workers=parts[:-1],
        test=parts[-1],
        longest=longest,
        train_rows=trained,
        test_rows=tested,
        classes=classes,
    )
