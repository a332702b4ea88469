"""Methods without memory: distributed gradient descent, plain and compressed."""

from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method


@methods.register("DCGD")
class DCGD(Method):
    """x -= gamma mean C_i(grad f_i(x)): no error feedback.

    With a biased C it stalls or diverges (Beznosikov et al. 2020, example 1).
    """

    def round(self, t):
        _, mean = self.exchange(self.gradients(self.x), self.compressor, own=False)
        self.move(mean)


@methods.register("GD")
class GD(DCGD):
    """x -= gamma grad f(x), every gradient sent whole. gamma <= 1/L."""

    needs_compressor = False

    @classmethod
    def theory_stepsize(cls, constants, compressor, **options):
        return 1 / constants.L
