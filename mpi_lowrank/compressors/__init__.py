"""Operators on arrays: what one worker sends in one round. No MPI, no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpi_lowrank.registry import Registry

if TYPE_CHECKING:
    from mpi_lowrank.compressors.base import Operator

compressors: Registry[Operator] = Registry("compressors")
