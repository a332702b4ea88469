"""What a record holds, for its writer, its reader and README.md."""

from typing import NamedTuple

import numpy as np

from mpi_lowrank.record.metrics import METRICS

SCHEMA = "mpi-lowrank/1"
BENCH = "mpi-lowrank/bench/1"
"""Of a bench's record; SCHEMA is that of a run's."""


class Column(NamedTuple):
    """A column of rounds: its type on disk, unit (UDUNITS spelling, "1" for none) and meaning."""

    dtype: np.dtype
    units: str
    meaning: str


INTEGER, REAL = np.dtype("<i8"), np.dtype("<f8")

COLUMNS: dict[str, Column] = {
    "round": Column(INTEGER, "1", "the round; 0 is the start"),
    "seconds": Column(REAL, "s", "the method's own clock, cumulative, the slowest rank's"),
    **{name: Column(REAL, metric.units, metric.meaning) for name, metric in METRICS.items()},
    "uplink_bytes": Column(REAL, "B", "bytes sent per worker, cumulative, mean over workers"),
    "downlink_bytes": Column(REAL, "B", "bytes received back per worker, cumulative, mean"),
    "published_bits": Column(
        REAL, "bit", "the papers' count, cumulative: float bits sent per worker, no indices"
    ),
}

# The types of those attributes that reports compute with; the others are shown as they are.
ATTRIBUTES: dict[str, type] = {
    **dict.fromkeys(("schema", "status", "label", "method", "compressor", "family"), str),
    **dict.fromkeys(("baseline", "config", "versions", "units", "throttle"), str),
    **dict.fromkeys(("valid", "timing_valid"), bool),
    **dict.fromkeys(("load", "most_seconds"), float),
    **dict.fromkeys(("reasons", "timing_reasons", "throttles"), list[str]),
}

LEDGER_DTYPE = np.dtype(
    [
        ("rank", "<i4"),
        ("round", "<i8"),  # -1 is the setup, before round 0
        ("last", "<i8"),  # of the rounds that the row sums; "round" is the first
        ("op", "S12"),
        ("dtype", "S10"),
        ("calls", "<i8"),
        ("count", "<i8"),
        ("bytes", "<i8"),
        ("modelled", "<f8"),  # bytes sent onto the wire for such a call, the mean over ranks
        ("seconds", "<f8"),
        ("purpose", "S10"),  # setup, uplink, downlink, evaluation, control
    ]
)

EARLIER_LEDGER_DTYPE = np.dtype([f for f in LEDGER_DTYPE.descr if f[0] not in ("last", "calls")])

PHASES = ("gradient", "compress", "exchange", "decode", "update", "evaluate")

PHASES_DTYPE = np.dtype([("rank", "<i4"), *((phase, "<f8") for phase in PHASES)])
