"""What only several ranks can show: all decode the same, and the same as in one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.certificate import drive
from mpi_lowrank.certificate.checks import MakeBlock
from mpi_lowrank.certificate.findings import Finding
from mpi_lowrank.certificate.inputs import D
from mpi_lowrank.collectives import collectives, of_kind
from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.run.validity import check_bytes, check_replicas

if TYPE_CHECKING:
    from mpi4py import MPI

ROUNDS = 3
SEED = 9

ALLOWED = 16
"""Round-offs of the wire that are allowed: an Allreduce adds in its type, in another order."""


def certify_ranks(comm: MPI.Intracomm, spec: str, make: MakeBlock) -> list[Finding]:
    """Collective: run a few rounds over MPI, by each collective; all ranks return the findings."""
    placement = Placement(max(4, comm.size), comm.size, comm.rank)
    operator = make((D,), placement.total)
    shared = operator.shared
    key, ways = ("reduction", of_kind(Reduction)) if shared else ("topology", of_kind(Topology))
    if operator.overhears:
        ways = [way for way in ways if not collectives[way].server]
    return [finding for way in ways for finding in _run(comm, placement, spec, make, {key: way})]


def _run(comm, placement, spec, make, collective) -> Iterator[Finding]:
    operator = make((D,), placement.total)
    door = Door(MpiTransport(comm))
    exchange = Exchange(door, placement, Clock(), np.dtype(np.float64), **collective, seed=SEED)
    exchange.prepare(operator)
    alone = make((D,), placement.total)
    drive.prepare(alone, placement.total)
    replicas, own_gap, mean_gap = [], 0.0, 0.0
    for round in range(ROUNDS):
        x = np.random.default_rng(round).standard_normal((placement.total, D))
        exchange.round = door.round = round
        own, mean = exchange(x[placement.workers], operator)
        replicas += check_replicas(door, mean)
        expected = _in_one_process(alone, x, round)
        scale = np.linalg.norm(expected) / np.sqrt(len(expected)) or 1.0
        own_gap = np.maximum(own_gap, np.abs(own - expected[placement.workers]).max() / scale)
        mean_gap = np.maximum(mean_gap, np.abs(mean - expected.mean(axis=0)).max() / scale)
    (way,) = collective.values()
    where = f"{comm.size} ranks, {way}"
    worst = np.zeros(2)
    door.maximum(np.array([own_gap, mean_gap]), worst, "control")
    told = "other numbers" if replicas else "same bits"
    yield Finding(spec, "every rank's mean", "same bits", told, not replicas, where=where)
    allowed = ALLOWED * float(finfo(operator.precision).eps)
    for promise, gap in zip(("own, as in one process", "mean of the decodes"), worst, strict=True):
        yield Finding(spec, promise, 0.0, float(gap), bool(gap <= allowed), where=where)
    mine, wrong = np.zeros(1), np.zeros(1)
    reasons = check_bytes(door, exchange)
    mine[0] = door.rank == 0 and bool(reasons)  # only the server knows what all have sent
    door.maximum(mine, wrong, "control")
    told = "others" if wrong[0] else "the messages'"
    yield Finding(spec, "bytes in the ledger", "the messages'", told, not wrong[0], where=where)


def _in_one_process(operator, x, round):
    """What all workers are decoded to, (workers, d)."""
    if operator.shared:
        return drive.reduce(operator, x, round, SEED)[0]
    messages = drive.pack(operator, x, round, SEED)
    decoded = drive.unpack(operator, messages, D)
    if operator.overhears:
        operator.decode_sum(messages, np.ones(len(x)), np.empty(D))
    return decoded
