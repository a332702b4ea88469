"""Running a bench: on all ranks, and into a record on rank 0."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.benchmarks.bench import Bench, Measure, Plan, Row, Session
from mpi_lowrank.benchmarks.interval import CONFIDENCE
from mpi_lowrank.benchmarks.repeats import WITHIN, Limits
from mpi_lowrank.comm import facts, parcels, world
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.door import Transport
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import launch
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.machine.disturbance import Disturbance, disturbances
from mpi_lowrank.record.bench import BenchWriter
from mpi_lowrank.run import provenance

if TYPE_CHECKING:
    from mpi4py import MPI

Shown = Callable[[Plan], Iterable[tuple[str, Measure]]]
"""Hands out the plan's measurements, and may show how far they are."""


def run(
    comm: MPI.Intracomm,
    name: str,
    bench: Bench,
    options: Mapping[str, Any],
    shown: Shown,
    lines: Transport | None = None,
) -> None:
    """Collective: carry out the bench, and on rank 0 write the record `options["out"]`.

    `lines`: what is measured, in place of MPI as it is. Raises AgreedError, on every rank, for a
    wrong option, a file that cannot be written, and data that arrived damaged.
    """
    threads = world.agree(comm, launch.blas_threads)
    limits = world.agree(comm, lambda: limits_of(options))
    out = Path(options["out"])
    writer = world.agree(comm, lambda: _writer(comm, out, options["overwrite"]))
    session = Session(comm, lines or MpiTransport(comm.Dup()), MpiTransport(comm), limits)
    with threadpool_limits(threads, user_api="blas"), np.errstate(all="ignore"):
        ranks = parcels.from_all(comm, facts.local_facts())
        known, load = _origin(comm, ranks), _load()
        rows: list[Row] = []
        for _, measure in shown(world.agree(comm, lambda: bench.plan(session, options))):
            rows += _watched(comm, measure)
    timing = facts.timing_problems(ranks) if bench.at_once else []
    if writer:
        rows += bench.derived(session, rows)
        known |= _settings(name, options, limits) | {"load": load}
        known |= {"timing_valid": not timing, "timing_reasons": timing}
    world.agree(comm, lambda: writer.write(known, _as_pairs(rows)) if writer else None)


def _watched(comm: MPI.Intracomm, measure: Measure) -> list[Row]:
    """The rows, and in each what kept a rank from its processor meanwhile, if anything did."""
    disturbance = Disturbance()
    rows = measure()
    seen = disturbances(parcels.from_all(comm, disturbance.seen(Clock())))
    return [Row(row.told | {"disturbed": "; ".join(seen) or None}, row.samples) for row in rows]


def limits_of(options: Mapping[str, Any]) -> Limits:
    """The limits that the options state. UserError for those under which nothing is measured."""
    repeats, seconds = options["repeats"], options["seconds"]
    if repeats < 1:
        raise UserError(f"--repeats {repeats}: allowed are whole numbers from 1")
    if not 0 <= seconds < float("inf"):
        raise UserError(f"--seconds {seconds:g}: allowed is a number of seconds, or 0")
    return Limits(repeats, seconds)


def _writer(comm: MPI.Intracomm, out: Path, overwrite: bool) -> BenchWriter | None:
    return BenchWriter(out, overwrite) if comm.rank == 0 else None


def _origin(comm: MPI.Intracomm, ranks: list[dict]) -> dict[str, Any]:
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": facts.count_cores(ranks),
        **facts.attributes(comm, ranks),
        **provenance.attributes(),
    }


def _load() -> float | None:
    """The processes that wanted a core in the last minute, where the system tells."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _settings(name: str, options: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    return {
        "bench": name,
        "options": json.dumps(dict(options)),
        "confidence": CONFIDENCE,
        "within": WITHIN,
        "most_repeats": limits.repeats,
        "most_seconds": float(limits.seconds),
    }


def _as_pairs(rows: list[Row]) -> list[tuple[dict[str, Any], Mapping[str, np.ndarray]]]:
    return [(row.told, row.samples) for row in rows]
