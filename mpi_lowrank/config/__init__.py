"""A configuration file: its text, its tables, its cases and the components they name."""

from mpi_lowrank.config.case import Case, Experiment
from mpi_lowrank.config.cases import load, over_L, parse, read
from mpi_lowrank.config.select import select

__all__ = ["Case", "Experiment", "load", "over_L", "parse", "read", "select"]
