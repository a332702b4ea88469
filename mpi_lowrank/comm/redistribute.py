"""Several ranks have read the data; every rank gets the rows of its own workers and no others."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, vstack

from mpi_lowrank.comm.distribute import (
    CLASS,
    PURPOSE,
    damaged,
    digest,
    known,
    local_shards,
    of_workers,
    workers_of_ranks,
)
from mpi_lowrank.datasets import Dataset
from mpi_lowrank.datasets.local import LocalShards, Rows
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement

KNOWN = 5
"""Numbers that rank 0 tells before the sizes of shards: `known`, and this rank's rows."""


def redistribute(
    door: Door,
    placement: Placement,
    dataset: Dataset,
    assigned: list | None,
    seed: int,
    together: Callable = lambda step: step(),
) -> LocalShards:
    """As `distribute`, of CSR rows that each rank holds some of: see `Dataset.held`.

    Rank 0 tells each rank which rows it gets, in what order, and who gets those it has read, with
    their labels. Then every rank sends every other one a block of rows.
    """
    header, order, owners, labels = _told(door, placement, dataset, assigned)
    blocks = _swapped(door, dataset.features, owners, labels)

    def joined():
        if any(digest(parts) != sent for sent, parts in blocks):
            raise damaged(placement)
        rows = _in_order([parts for _, parts in blocks], order, dataset.features.shape[1])
        facts, sizes = tuple(header[: KNOWN - 1].tolist()), header[KNOWN:].tolist()
        return local_shards(rows, sizes, facts, placement, seed)

    return together(joined)


def _told(door, placement, dataset, assigned):
    """What this rank gets: a header and row numbers; and of the rows it has, owners and labels."""
    counts = np.zeros(door.size, np.int64)
    door.allgather(np.array([len(dataset.held)]), counts, [1] * door.size, PURPOSE)
    if door.rank:
        return _receive(door, placement.local, len(dataset.held))
    facts = known(dataset, assigned)
    ends, owner = np.cumsum(counts), np.empty(len(dataset.labels), np.int32)
    mine = [of_workers(assigned, workers) for workers in workers_of_ranks(placement)]
    for rank, parts in enumerate(mine):
        owner[np.concatenate(parts)] = rank
    told = []
    for parts, (begin, end) in zip(mine, pairwise([0, *ends]), strict=True):
        order = np.concatenate(parts).astype(np.int64)
        header = np.array([*facts, len(order), *map(len, parts)], np.int64)
        told.append((header, order, owner[begin:end], dataset.labels[begin:end]))
    for rank, arrays in enumerate(told[1:], start=1):
        for array in arrays:
            door.send(array, rank, PURPOSE)
    return told[0]


def _receive(door, local, held):
    header = np.empty(KNOWN + local + 1, np.int64)
    door.receive(header, 0, PURPOSE)
    rows = header[KNOWN - 1]
    parts = np.empty(rows, np.int64), np.empty(held, np.int32), np.empty(held, CLASS)
    for part in parts:
        door.receive(part, 0, PURPOSE)
    return header, *parts


def _swapped(door, features, owners, labels):
    """Every rank's block for this one, in rank order: its digest, and its arrays."""
    received = []
    for source in range(door.size):
        for target in range(door.size):
            if source == door.rank:
                block = _block(features, labels, np.flatnonzero(owners == target))
                if target == door.rank:
                    received.append((digest(block), block))
                else:
                    _send_block(door, block, target)
            elif target == door.rank:
                received.append(_receive_block(door, source, features.data.dtype))
    return received


def _block(features, labels, rows):
    """Labels, values, the columns they stand in, and where rows start."""
    chosen = features[rows]
    starts = chosen.indptr.astype(np.int64)
    return labels[rows], chosen.data, chosen.indices.astype(np.int32), starts


def _send_block(door, block, target):
    labels, values, *_ = block
    door.send(np.array([len(labels), len(values), digest(block)]), target, PURPOSE)
    for part in block:
        door.send(_bytes(part), target, PURPOSE)


def _receive_block(door, source, dtype):
    head = np.empty(3, np.int64)
    door.receive(head, source, PURPOSE)
    rows, stored, sent = head.tolist()
    block = (
        np.empty(rows, CLASS),
        np.empty(stored, dtype),
        np.empty(stored, np.int32),
        np.empty(rows + 1, np.int64),
    )
    for part in block:
        door.receive(_bytes(part), source, PURPOSE)
    return sent, block


def _bytes(part):
    """Booleans as their bytes, which MPI knows."""
    return part.view(np.uint8) if part.dtype == bool else part


def _in_order(blocks, order, width):
    """The blocks' rows, which come in the file's order, as `order` has them."""
    parts = [
        csr_array((values, columns, starts), shape=(len(labels), width))
        for labels, values, columns, starts in blocks
    ]
    place = np.empty(len(order), np.int64)
    place[np.argsort(order)] = np.arange(len(order))
    labels = np.concatenate([labels for labels, *_ in blocks])
    return Rows(csr_array(vstack(parts, format="csr"))[place], labels[place])
