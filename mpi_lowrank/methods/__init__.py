"""What is compressed and how x moves. No MPI calls, no NumPy tricks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpi_lowrank.registry import Registry

if TYPE_CHECKING:
    from mpi_lowrank.methods.base import Method

methods: Registry[Method] = Registry("methods")
