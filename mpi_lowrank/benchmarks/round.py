"""The bench `round`: where a round's time goes on each rank, beside a plain script's round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpi_lowrank.benchmarks.bench import Bench, Plan, Row, Session
from mpi_lowrank.benchmarks.repeats import Samples, repeat
from mpi_lowrank.benchmarks.runs import folder_on_root, run_case, seconds_in_mpi, seconds_waited
from mpi_lowrank.benchmarks.script import STEP, K, PlainScript
from mpi_lowrank.benchmarks.sheets.sheet import Told
from mpi_lowrank.comm import world
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine.clock import METHOD
from mpi_lowrank.record import Case

WORKERS = 20

OF_RANK = (*METHOD, "mpi", "wait")

COMPARED = ("round", "script")

CONFIG = """
workers = {workers}
rounds = {rounds}
evaluate_every = {rounds}
stepsize = {step}
[[cases]]
method = {{ name = "EF21", g0 = "compressed" }}
compressor = {{ name = "topk", k = {k} }}
"""


def plan(session: Session, options: Mapping[str, Any]) -> Plan:
    """One step, whose repeats are runs of so many rounds. UserError for fewer than one."""
    if (rounds := options["rounds"]) < 1:
        raise UserError(f"--rounds {rounds}: allowed are whole numbers from 1")
    return [(f"runs of {rounds} rounds", lambda: _measure(session, rounds))]


def _measure(session: Session, rounds: int) -> list[Row]:
    comm = session.comm
    workers = max(WORKERS, comm.size)
    text = CONFIG.format(workers=workers, rounds=rounds, step=STEP, k=K)
    script = PlainScript(workers) if comm.rank == 0 else None
    with folder_on_root(comm) as folder:

        def once() -> Sequence[float]:
            theirs = script.seconds_per_round(rounds) if script else 0.0
            world.meet_asleep(comm)
            return [*_ours(session, text, rounds, folder, theirs)]

        found = repeat(session.control, _parts(comm.size), once, session.limits, len(COMPARED))
    return [*_compared(found), *_ranks(found, comm.size)]


def _parts(ranks: int) -> list[str]:
    return [*COMPARED, *(f"{part} {rank}" for rank in range(ranks) for part in OF_RANK)]


def _ours(session: Session, text: str, rounds: int, folder: Path, theirs: float) -> Sequence[float]:
    """Seconds by part, on rank 0; the others have nothing to add."""
    ranks = session.comm.size
    case = run_case(session.comm, text, folder)
    if case is None:
        return np.zeros(len(COMPARED) + ranks * len(OF_RANK)).tolist()
    return [case["seconds"][-1] / rounds, theirs, *_of_ranks(case, ranks, rounds)]


def _of_ranks(case: Case, ranks: int, rounds: int) -> list[float]:
    """Seconds per round, OF_RANK of every rank."""
    phases = [case.phases[phase] / rounds for phase in METHOD]
    table = np.array([*phases, seconds_in_mpi(case, ranks) / rounds, seconds_waited(case, ranks)])
    flat: list[float] = table.T.ravel().tolist()
    return flat


def _compared(found: Samples) -> list[Row]:
    ratios = found.seconds["script"] / found.seconds["round"]
    told = {"table": "compared", **found.ending(*COMPARED)}
    ours = told | {"label": "this package", **found.told("round")}
    ours["ratio"] = float(np.median(ratios))
    theirs = told | {"label": "plain script, one process", **found.told("script"), "ratio": 1.0}
    samples = [{"round": found.seconds[part]} for part in COMPARED]
    return [Row(ours, samples[0]), Row(theirs, samples[1])]


def _ranks(found: Samples, ranks: int) -> list[Row]:
    """A row for each rank, and their mean: medians over the runs."""
    rows = []
    for rank in range(ranks):
        own = {part: found.seconds[f"{part} {rank}"] for part in OF_RANK}
        rows.append(Row(_parts_told(f"rank {rank}", own), own))
    mean = {part: np.mean([row.samples[part] for row in rows], axis=0) for part in OF_RANK}
    return [Row(_parts_told("mean of the ranks", mean), mean), *rows]


def _parts_told(label: str, parts: dict[str, np.ndarray]) -> Told:
    """`overhead`: what is neither gradient, compressor (compress, decode) nor MPI."""
    parts = parts | {"overhead": parts["exchange"] + parts["update"] - parts["mpi"]}
    medians = {f"{part}_seconds": float(np.median(own)) for part, own in parts.items()}
    return {"label": label, "table": "parts", **medians}


ROUND = Bench(plan)
