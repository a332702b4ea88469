"""Low-rank factors of a momentum that keeps what was not sent."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.sampled import Sampled


@methods.register("Dion")
class Dion(Sampled):
    """M_i += grad f_i(x; batch); C(M_i) is sent; M_i -= (1 - mu) C(M_i); x -= gamma mean C(M_i).

    Ahn, Xu, Abreu, Magakyan, Dean 2025, with C = powersgd of a warm basis. What was not sent stays
    whole; of what was sent, the share mu stays as momentum. Dion scales the columns of one factor
    of the mean to length 1. The step rule `muon` makes all singular values 1, which is Orth-Dion
    (2026) and at rank 1 the same. Dion's factor sqrt(rows / columns) is left to gamma. mu = 0 is
    EF14; C = identity is heavy-ball momentum. No stepsize is proved.
    """

    mu: float = option(0.95)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._momentum = setting.state.rows("M_i", self.x.size)
        self._sent = np.zeros_like(self._momentum)

    @classmethod
    def check(cls, options):
        super().check(options)
        if not 0 <= options.mu < 1:
            raise OptionError("mu", options.mu, "a number from 0 to below 1")

    def round(self, t):
        self._momentum += self.target(t)
        own, mean = self.exchange(self._momentum, self.compressor)
        assert own is not None
        self._momentum -= np.multiply(own, 1 - self.mu, out=self._sent)
        self.move(mean)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        raise UserError("method Dion: no stepsize is proved; set one, a number or such as '0.5/L'")
