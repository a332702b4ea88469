"""Columns that the tables of all benches have in common."""

from collections.abc import Callable
from typing import Any

from mpi_lowrank.benchmarks.repeats import WITHIN
from mpi_lowrank.benchmarks.sheets.sheet import Told
from mpi_lowrank.report.layout import Column, text, whole
from mpi_lowrank.report.numbers import short


def of(key: str) -> Callable[[Told], Any]:
    """What a row has under that name, None where it has nothing."""
    return lambda row: row.get(key)


def microseconds(value: float | None) -> str:
    return short(None if value is None else value * 1e6)


def milliseconds(value: float | None) -> str:
    return short(None if value is None else value * 1e3)


def billions(value: float | None) -> str:
    """Bytes per second under a header of GB/s."""
    return short(None if value is None else value / 1e9)


def _reach(value: float | None) -> str:
    """Percents, of an interval that is none "-"."""
    return "-" if value is None or value == float("inf") else short(100 * value, 2)


def _until(row: Told) -> str | None:
    until = row.get("until")
    return f"{100 * WITHIN:.0f} %" if until == "interval" else until


REPEATED = (
    Column("repeats", of("repeats"), whole),
    Column("+- %", of("uncertainty"), _reach),
    Column("until", _until, text),
)
"""How often a row was measured, how well its median is known, what ended the repeats."""
