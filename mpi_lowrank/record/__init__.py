"""The record of an experiment: one self-describing HDF5 file (schema in README.md beside this)."""

from mpi_lowrank.record.metrics import METRICS, THEORY, Metric
from mpi_lowrank.record.reader import Case, Record, ledgers
from mpi_lowrank.record.schema import COLUMNS, LEDGER_DTYPE, PHASES, PHASES_DTYPE, SCHEMA
from mpi_lowrank.record.writer import RecordWriter

__all__ = [
    "COLUMNS",
    "LEDGER_DTYPE",
    "METRICS",
    "PHASES",
    "PHASES_DTYPE",
    "SCHEMA",
    "THEORY",
    "Case",
    "Metric",
    "Record",
    "RecordWriter",
    "ledgers",
]
