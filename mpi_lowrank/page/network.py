"""What a round would take on another network: the table, and what the sliders compute it from."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from mpi_lowrank.door.calls import ALL, Call
from mpi_lowrank.door.network import read_bandwidth, read_latency
from mpi_lowrank.page.parts import html_of
from mpi_lowrank.predict import BANDWIDTHS, LATENCY, RANKS
from mpi_lowrank.predict.model import Measured, Rounds
from mpi_lowrank.predict.rows import Grid, predict_steps, prediction_table
from mpi_lowrank.record import Case
from mpi_lowrank.report.best import Step, told_setting
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.verdict import Row

LATENCIES = tuple(float(f"{digit}e{power}") for power in range(-6, -2) for digit in (1, 2, 5))
"""Seconds per message, where the slider stops."""


def why_not(cases: Iterable[Case], rounds: Rounds) -> str:
    """Why the page predicts nothing; empty if it does."""
    networks = {case.attributes["throttle"] for case in cases if case.attributes.get("throttle")}
    if networks:
        return f"Nothing is predicted: seconds here are modelled already, for {min(networks)}."
    if not rounds:
        return "Nothing is predicted: no case has rounds, phases and a ledger."
    return ""


def networks(cases: Sequence[Case], rounds: Rounds) -> dict[str, Any] | None:
    """Where sliders stop and begin, and what one byte in each kind of call costs on so many ranks.

    JSON-ready; None where nothing is predicted. `bandwidths`: bytes per second. `calls`: by their
    name in the ledger lists as long as `ranks`.
    """
    if why_not(cases, rounds):
        return None
    many = _ranks(cases)
    return {
        "bandwidths": _bandwidths(),
        "bandwidth": read_bandwidth("1gbit", "bandwidth"),
        "latencies": LATENCIES,
        "latency": read_latency(LATENCY, "latency"),
        "ranks": many,
        "rank": _begin(cases),
        "calls": {call.op: _costs(call, many) for call in ALL},
    }


def _costs(call: Call, many: Iterable[int]) -> dict[str, list[float]]:
    costs = [call.cost(1, ranks) for ranks in many]
    return {"steps": [cost.steps for cost in costs], "load": [cost.load for cost in costs]}


def _range() -> tuple[float, float]:
    low, high = (read_bandwidth(end, "bandwidth") for end in BANDWIDTHS.split(".."))
    return low, high


def _bandwidths() -> list[float]:
    """1, 2 and 5 times powers of ten bits per second, and the highest one."""
    low, high = _range()
    powers = range(int(np.floor(np.log10(8 * low))), int(np.log10(8 * high)) + 1)
    found = [float(f"{digit}e{power}") / 8 for power in powers for digit in (1, 2, 5)]
    return sorted({*(value for value in found if low <= value <= high), high})


def _ranks(cases: Sequence[Case]) -> list[int]:
    low, high = map(int, RANKS.split(".."))
    grid = Grid.between(_range(), read_latency(LATENCY, "latency"), (low, high))
    workers = {int(case.attributes.get("workers", low)) for case in cases}
    return sorted({*grid.ranks, *(number for number in workers if low <= number <= high)})


def _begin(cases: Sequence[Case]) -> int:
    """As many ranks as the first case has workers."""
    many, workers = _ranks(cases), int(cases[0].attributes.get("workers", 0))
    return workers if workers in many else many[0]


def as_json(found: Measured | None) -> dict[str, Any] | None:
    """What the sliders compute from."""
    if found is None:
        return None
    traffic = [[part.call.op, _few(part.times), _few(part.nbytes)] for part in found.traffic]
    seconds = {"each": _few(found.each), "decode": _few(found.decode)}
    return seconds | {"gathered": found.gathered, "traffic": traffic}


def _few(value: float) -> float:
    return float(f"{value:.12g}")


def predictions(blocks: Iterable[Sequence[Step]], cases: Sequence[Case], rounds: Rounds) -> str:
    """As HTML what `mpi-lowrank predict` says of each setting's steps, with as many ranks as the
    first case has workers.
    """
    latency = read_latency(LATENCY, "latency")
    grid = Grid.between(_range(), latency, (2, 2))
    found = [predict_steps(block, rounds, grid, _begin(cases)) for block in blocks]
    return "\n".join(_html(rows) for rows in found if rows)


def _html(rows: list[Row]) -> str:
    table = prediction_table(plain(rows))
    titles = filter(None, (told_setting(rows[0]), table.title))
    told = html_of([table._replace(title="\n".join(titles), named="method")])
    return f"{told}<p class=note>{escape(' '.join(table.notes))}</p>"
