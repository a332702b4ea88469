"""The functions f_i, their gradients and their smoothness constants."""

from mpi_lowrank.registry import Registry

problems = Registry("problems")
