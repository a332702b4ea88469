"""Operators on arrays: what one worker sends in one round. No MPI, no files."""

from mpi_lowrank.registry import Registry

compressors = Registry("compressors")
