"""The step of gradient descent."""

from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step


@steps.register("plain")
class Plain(Step):
    """x -= gamma direction."""

    def move(self, displacement, gamma):
        self.x -= displacement
