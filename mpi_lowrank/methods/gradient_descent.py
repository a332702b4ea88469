"""Methods without memory: distributed gradient descent, plain and compressed."""

import numpy as np

from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method
from mpi_lowrank.methods.guarantees import EXACT


@methods.register("DCGD")
class DCGD(Method):
    """x -= gamma mean C_i(grad f_i(x)): no error feedback.

    With a biased C it stalls or diverges (Beznosikov et al. 2020, example 1). With an unbiased one
    it reaches a neighbourhood at gamma <= 1/((1 + 2 omega/n) max L_i) (Khirirat et al. 2018); if C
    is linear and shared, the minimum itself, at gamma <= 1/((1 + omega) L).
    """

    def round(self, t):
        _, mean = self.exchange(self.target(t), self.compressor, own=False)
        self.move(mean)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        omega = compressor.omega
        if not omega:
            return super().theory_stepsize(constants, compressor, options)
        if compressor.linear:
            return 1 / ((1 + omega) * constants.L)
        return 1 / ((1 + 2 * omega / len(constants.L_i)) * float(np.max(constants.L_i)))


@methods.register("GD")
class GD(DCGD):
    """x -= gamma grad f(x), every gradient sent whole. gamma <= 1/L."""

    needs_compressor = False

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        return 1 / constants.L

    def guarantee(self, constants):
        return EXACT
