"""Workers that stay silent while little has changed: LAG and CLAG."""

from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.error_feedback import EF21


@methods.register("CLAG")
class CLAG(EF21):
    """EF21 in which worker i sends only if |grad f_i(x) - g_i|^2 > zeta |change of grad f_i|^2.

    The change is since the last round. Richtarik et al. 2022 (3PC): gamma <= 1/(L + L_tilde
    sqrt(B/A)), A = 1 - sqrt(1 - alpha), B = max((1 - alpha)/A, zeta). zeta = 0 is EF21. A byte per
    worker and round tells who speaks; it is counted. Where C sends g_i whole, zeta = 1 is a tie in
    the next round, which the wire's round-off decides.
    """

    zeta: float = option(1.0)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._before = setting.state.rows("grad f_i", self.x.size)
        self._speaks = np.zeros(len(setting.numbers), bool)

    def _news(self, t, **ways):
        gradients = self.target(t)
        self._before -= gradients
        np.subtract(gradients, self._estimates, out=self._difference)
        np.greater(_squares(self._difference), self.zeta * _squares(self._before), self._speaks)
        self._before[:] = gradients
        if t == 0:
            return self.exchange(self._difference, self.first, **ways)
        active = self.exchange.flags(self._speaks)
        return self.exchange(self._difference, self.compressor, **ways | {"active": active})

    @classmethod
    def admit(cls, compressor):
        super().admit(compressor)
        if compressor.shared:
            raise UserError(
                f"method {cls.name}: {compressor.name} is Allreduced, where silence saves nothing; "
                "take a compressor that has messages, such as topk, or method EF21"
            )

    @classmethod
    def check(cls, options):
        super().check(options)
        if not 0 <= options.zeta < np.inf:
            raise OptionError("zeta", options.zeta, "a number from 0")

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        super().theory_stepsize(constants, compressor, options)  # refuses what has no alpha
        error = 1 - compressor.alpha
        A = 1 - sqrt(error)
        return 1 / (constants.L + constants.L_tilde * sqrt(max(error / A, options.zeta) / A))


@methods.register("LAG")
class LAG(CLAG):
    """CLAG that sends whole gradients (Chen, Giannakis, Sun, Yin 2018): zeta = 0 is GD.

    gamma <= 1/(L + L_tilde sqrt(zeta)).
    """

    needs_compressor = False
    g0 = "dense"


def _squares(rows):
    return np.einsum("wd,wd->w", rows, rows)
