"""How a bench's rows are shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mpi_lowrank.report.layout import Table

Told = dict[str, Any]
"""A row's numbers and texts by name; a name ends with the unit, where there is one."""


@dataclass(frozen=True)
class Sheet:
    """The tables of rows, and the lines of the verdict on them; any key may be missing in a row."""

    tables: Callable[[list[Told]], list[Table]]
    verdict: Callable[[list[Told]], list[str]]


def of_table(rows: Sequence[Told], table: str) -> list[Told]:
    """The rows that belong to one of a bench's tables."""
    return [row for row in rows if row.get("table") == table]
