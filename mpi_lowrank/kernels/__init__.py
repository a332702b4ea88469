"""Loops over numbers, by family: a module in `plain`, and one of the same name in `compiled`.

`plain` is NumPy, and the reference. `compiled` has the same functions for Numba, to the bit where
messages are made, else within a round-off that the plain function states. A family is chosen by

    kernels = family("lowrank", numbers)

before round 0, and called as `kernels.function(...)`.
"""

from mpi_lowrank.kernels.choice import check, family, told

__all__ = ["check", "family", "told"]
