"""How x moves along a method's direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpi_lowrank.registry import Registry

if TYPE_CHECKING:
    from mpi_lowrank.steps.base import Step

steps: Registry[Step] = Registry("steps")
