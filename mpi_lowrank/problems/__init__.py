"""The functions f_i, their gradients and their smoothness constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpi_lowrank.registry import Registry

if TYPE_CHECKING:
    from mpi_lowrank.problems.base import Problem

problems: Registry[Problem] = Registry("problems")
