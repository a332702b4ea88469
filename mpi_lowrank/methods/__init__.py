"""What is compressed and how x moves. No MPI calls, no NumPy tricks."""

from mpi_lowrank.registry import Registry

methods = Registry("methods")
