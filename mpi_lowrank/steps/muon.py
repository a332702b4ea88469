"""Steps of the same size in all directions of a matrix."""

from typing import Any

import numpy as np

from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step
from mpi_lowrank.steps.polar import Polar


@steps.register("muon")
class Muon(Step):
    """X -= gamma polar(D) for each matrix X of the model, D its part of the direction.

    Jordan et al. 2024. polar(U S V^T) = U V^T is the steepest descent in the spectral norm.
    Parameters that are not matrices take the plain step. With EF21-SGDM it is EF21-Muon without a
    compressed downlink (Gruntkowska, Gaponov, Tovmasyan, Richtarik 2025), with Dion it is
    Orth-Dion, with EF21-SGDM and `identity` Muon itself. gamma is a length, in the units of x.
    """

    def __init__(self, x: np.ndarray, stepsize: float, state: State, shapes, **options: Any):
        super().__init__(x, stepsize, state, shapes, **options)
        self._blocks: list[tuple[slice, tuple[int, ...], Polar | None]] = []
        start = 0
        for shape in shapes:
            stop = start + int(np.prod(shape))
            polar = Polar(shape, x.dtype) if len(shape) == 2 else None
            self._blocks.append((slice(start, stop), shape, polar))
            start = stop

    def move(self, displacement, gamma):
        for where, shape, polar in self._blocks:
            part = displacement[where]
            if polar is None:
                self.x[where] -= part
            else:
                step = polar(part.reshape(shape))
                step *= gamma
                self.x[where] -= step.ravel()
