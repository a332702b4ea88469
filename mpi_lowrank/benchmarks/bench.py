"""What a bench is: a plan of measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mpi_lowrank.benchmarks.repeats import Limits
from mpi_lowrank.benchmarks.sheets.sheet import Told
from mpi_lowrank.door import Transport

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True)
class Row:
    """What was found, and the samples in seconds that it was made of, by name."""

    told: Told
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """What a bench runs on. `lines` carries what is measured, `control` agreements."""

    comm: MPI.Intracomm
    lines: Transport
    control: Transport
    limits: Limits


Measure = Callable[[], list[Row]]

Plan = list[tuple[str, Measure]]
"""Names for the progress, and collective calls that return a rank's rows; rank 0's count."""


@dataclass(frozen=True)
class Bench:
    """One bench. `plan`: from a session and the options of the command line, UserError for a wrong
    one. `derived`: further rows, made of all that were measured; on rank 0. `at_once`: whether all
    ranks take part in all rows.
    """

    plan: Callable[[Session, Mapping[str, Any]], Plan]
    derived: Callable[[Session, list[Row]], list[Row]] = lambda session, rows: []
    at_once: bool = True
