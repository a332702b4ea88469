"""The command line, and the status that a command ends with."""

from mpi_lowrank.cli.entry import main
from mpi_lowrank.cli.status import BROKEN, FAILED, INTERRUPTED

__all__ = ["BROKEN", "FAILED", "INTERRUPTED", "main"]
