"""Steps that remember the ones before."""

from typing import Any

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step


class Momentum(Step):
    """A step that goes on with the share `beta` of the last one; 0 is the plain step."""

    beta: float = option(0.9)

    @classmethod
    def check(cls, options):
        super().check(options)
        if not 0 <= options.beta < 1:
            raise OptionError("beta", options.beta, "a number from 0 to below 1")


@steps.register("heavy_ball")
class HeavyBall(Momentum):
    """v = beta v + gamma direction; x -= v (Polyak 1964)."""

    def __init__(self, x: np.ndarray, stepsize: float, state: State, shapes, **options: Any):
        super().__init__(x, stepsize, state, shapes, **options)
        self._velocity = state.array("velocity", x.shape)

    def move(self, displacement, gamma):
        self._velocity *= self.beta
        self._velocity += displacement
        self.x -= self._velocity


@steps.register("nesterov")
class Nesterov(Momentum):
    """z' = x - gamma direction; x = z' + beta (z' - z); z = z' (Nesterov 1983).

    Gradients are taken at x, which has gone beyond z; z is evaluated.
    """

    def __init__(self, x: np.ndarray, stepsize: float, state: State, shapes, **options: Any):
        super().__init__(x, stepsize, state, shapes, **options)
        self.model = state.array("z", x.shape)
        self.model[:] = x

    def move(self, displacement, gamma):
        x, z = self.x, self.model
        x -= displacement
        np.subtract(x, z, out=displacement)
        z[:] = x
        displacement *= self.beta
        x += displacement
