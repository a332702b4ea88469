"""The bench `scaling`: a round on more and more ranks, with the same workers or more of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lcm
from typing import TYPE_CHECKING, Any, cast

from mpi_lowrank.benchmarks.bench import Bench, Measure, Plan, Row, Session
from mpi_lowrank.benchmarks.repeats import Limits, repeat
from mpi_lowrank.benchmarks.runs import folder_on_root, run_case
from mpi_lowrank.benchmarks.sheets.sheet import Told
from mpi_lowrank.comm import facts, parcels, world
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.errors import UserError

if TYPE_CHECKING:
    from mpi4py import MPI

WORKERS = 16
"""At least so many in all where their number is fixed."""

EACH = 8
"""Workers of a rank where their number grows with the ranks."""

CONFIG = """
workers = {workers}
rounds = {rounds}
evaluate_every = {rounds}
stepsize = "0.5/L"
dtype = "float32"
problem = {{ name = "matrix", shape = [128, 128] }}
[[cases]]
{case}
"""

CASES = {
    "GD": 'method = "GD"',
    "EF21 + Top-64": """
method = { name = "EF21", g0 = "compressed" }
compressor = { name = "topk", k = 64 }""",
    "EF21 + PowerSGD": """
method = { name = "EF21", g0 = "compressed" }
compressor = { name = "powersgd", rank = 2, basis = "fresh" }""",
}


def plan(session: Session, options: Mapping[str, Any]) -> Plan:
    """A measurement for each kind, case and number of ranks. UserError for impossible numbers."""
    most, rounds = session.comm.size, options["rounds"]
    if rounds < 1:
        raise UserError(f"--rounds {rounds}: allowed are whole numbers from 1")
    counts = sorted(set(options["ranks"] or _doubling(most)))
    for count in counts:
        if not 1 <= count <= most:
            raise UserError(f"--ranks {count}: allowed are 1 to {most}, the ranks that are there")
    step = max(counts) if len(counts) == 1 else lcm(*counts)
    fixed = -(-WORKERS // step) * step
    steps: Plan = []
    for kind in ("strong", "weak"):
        for name, case in CASES.items():
            for count in counts:
                workers = fixed if kind == "strong" else EACH * count
                text = CONFIG.format(workers=workers, rounds=rounds, case=case)
                told = {"label": name, "table": kind, "ranks": count, "workers": workers}
                steps.append((f"{kind}, {name}, {count} ranks", _step(session, told, text, rounds)))
    return steps


def _doubling(most: int) -> list[int]:
    """1, 2, 4, ... and the most."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _step(session: Session, told: Told, text: str, rounds: int) -> Measure:
    def step() -> list[Row]:
        taking_part = session.comm.rank < told["ranks"]
        divided = session.comm.Split(0 if taking_part else 1, session.comm.rank)
        part = cast("MPI.Intracomm", divided)
        rows: list[Row] = []
        failed = False
        if taking_part:
            try:
                rows = [_measured(part, session.limits, told, text, rounds)]
            except world.AgreedError:
                failed = True
        world.meet_asleep(session.comm)
        part.Free()
        if any(parcels.from_all(session.comm, failed)):
            raise world.AgreedError
        return rows

    return step


def _measured(part: MPI.Intracomm, limits: Limits, told: Told, text: str, rounds: int) -> Row:
    """Collective on `part`: the row on its rank 0; elsewhere one like it that nobody reads."""
    with folder_on_root(part) as folder:

        def once() -> Sequence[float]:
            case = run_case(part, text, folder)
            return (case["seconds"][-1] / rounds if case else 0.0,)

        found = repeat(MpiTransport(part), ("round",), once, limits)
    ranks = parcels.from_all(part, facts.local_facts())
    crowded = f"{part.size} on {facts.count_cores(ranks)} cores" if facts.crowded(ranks) else None
    shared = {"oversubscribed": crowded}
    return Row(told | found.told("round") | found.ending() | shared, found.seconds)


def compared(session: Session, rows: list[Row]) -> list[Row]:
    """Add to each row its speed-up and efficiency over the least ranks of its kind and case.

    Strong: speed-up t_0 / t, efficiency p_0 t_0 / (p t). Weak: efficiency t_0 / t.
    """
    first: dict[tuple[str, str], Told] = {}
    for told in (row.told for row in rows):
        base = first.setdefault((told["table"], told["label"]), told)
        ratio = base["p50_seconds"] / told["p50_seconds"]
        if told["table"] == "strong":
            told["speedup"] = ratio
            ratio *= base["ranks"] / told["ranks"]
        told["efficiency"] = ratio
    return []


SCALING = Bench(plan, compared, at_once=False)
