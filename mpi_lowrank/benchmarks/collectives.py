"""The bench `collectives`: the door's calls by size, and a latency and bandwidth for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from mpi_lowrank.benchmarks import movements
from mpi_lowrank.benchmarks.bench import Bench, Plan, Row, Session, Told
from mpi_lowrank.benchmarks.fit import fit
from mpi_lowrank.benchmarks.movements import NUMBER, Movement
from mpi_lowrank.benchmarks.repeats import repeat
from mpi_lowrank.comm import world
from mpi_lowrank.door import calls
from mpi_lowrank.errors import UserError

SIZES = (4, 32, 256, 2048, 16384, 131072, 1 << 20, 1 << 23)
"""Bytes that a rank hands over."""

MOST = 1 << 30
"""Bytes of the largest array, everybody's on one rank."""

LEAST = 100
"""Repeats, where the time suffices: a 99th percentile of fewer is their largest."""

Make = Callable[..., Movement]


def plan(session: Session, options: Mapping[str, Any]) -> Plan:
    """A measurement for each call and size. UserError on one rank, and for impossible sizes.

    The default sizes are those of which all ranks together hand over MOST bytes at most.
    """
    ranks, most = session.lines.size, MOST // session.lines.size
    if ranks < 2:
        raise UserError("bench collectives on 1 rank: calls need two; start it with mpirun -n 2")
    sizes = options["sizes"] or [size for size in SIZES if size <= most]
    for size in sizes:
        if size < NUMBER.itemsize or size % NUMBER.itemsize or size > most:
            told = f"multiples of {NUMBER.itemsize} bytes up to {most} on {ranks} ranks"
            raise UserError(f"--sizes {size}: allowed are {told}")
    return [
        (f"{make.__name__} {size} B", _measure(session, make, size))
        for make in movements.ALL
        for size in (sizes if make is not movements.barrier else (0,))
    ]


def _measure(session: Session, make: Make, size: int) -> Callable[[], list[Row]]:
    def measure() -> list[Row]:
        movement = make(session.lines, size // NUMBER.itemsize)
        check(session, movement, size)
        found = repeat(
            session.control,
            ("call",),
            lambda: _once(session, movement),
            session.limits._replace(least=LEAST),
        )
        check(session, movement, size)
        told: Told = {"label": movement.call.op, "table": "calls", "bytes": size}
        told |= found.told("call") | found.ending()
        told["bytes_per_second"] = size / told["p50_seconds"] if size else None
        return [Row(told, found.seconds)]

    return measure


def check(session: Session, movement: Movement, size: int) -> None:
    """Collective: AgreedError, on every rank, if any rank got a byte that is not the right one."""
    at = movement.wrong_byte()

    def told() -> None:
        if at is not None:
            call = f"{movement.call.op} of {size} bytes on {session.lines.size} ranks"
            raise UserError(f"{call}: rank {session.lines.rank} got a wrong byte, number {at}")

    world.agree(session.comm, told)


def _once(session: Session, movement: Movement) -> tuple[float]:
    session.control.barrier()
    began = perf_counter()
    movement.move()
    return ((perf_counter() - began) / movement.times,)


def models(session: Session, rows: list[Row]) -> list[Row]:
    """A row for each kind of call: its model, fitted to the medians of all sizes."""
    found = []
    for call in calls.ALL:
        own = [row.told for row in rows if row.told["label"] == call.op]
        if own:
            found.append(Row(_model(call, session.lines.size, own)))
    return found


def _model(call: calls.Call, ranks: int, rows: list[Told]) -> Told:
    sizes, seconds = zip(*((row["bytes"], row["p50_seconds"]) for row in rows), strict=True)
    latency, bandwidth, residual = fit(call, ranks, sizes, seconds)
    return {
        "label": call.op,
        "table": "models",
        "steps": call.steps(ranks),
        "load_bytes_per_byte": call.load(ranks),
        "latency_seconds": latency,
        "bandwidth_bytes_per_second": bandwidth,
        "residual": residual,
        "sizes": len(rows),
        "disturbed": next((row["disturbed"] for row in rows if row["disturbed"]), None),
    }


COLLECTIVES = Bench(plan, models)
