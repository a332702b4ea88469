"""Steps for a penalty that has no gradient."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step


@steps.register("prox_l1")
class ProxL1(Step):
    """x = soft(x - gamma direction, gamma l1), which minimises f + l1 |x|_1.

    soft(x, a) moves each number by a towards 0, and stops there. With method EF21 it is EF21-Prox
    (Fatkhullin et al. 2021), with GD ISTA; l1 = 0 is the plain step. Recorded losses include
    l1 |x|_1, and `grad_norm_sq` is that of the shortest subgradient, 0 where x is stationary.
    """

    l1: float = option(0.01)

    @classmethod
    def check(cls, options):
        super().check(options)
        if not 0 <= options.l1 < np.inf:
            raise OptionError("l1", options.l1, "a number from 0")

    def move(self, displacement, gamma):
        self.x -= displacement
        np.clip(self.x, -gamma * self.l1, gamma * self.l1, out=displacement)
        self.x -= displacement

    def penalty(self, x):
        return self.l1 * float(np.abs(x).sum(dtype=np.float64))

    def least_slope(self, x, gradient):
        shrunk = gradient - np.clip(gradient, -self.l1, self.l1)
        return np.where(x == 0, shrunk, gradient + self.l1 * np.sign(x))
