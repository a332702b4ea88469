"""Error feedback, of 2014 and of 2021."""

from typing import Literal

import numpy as np

from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method


@methods.register("EF14")
class EF14(Method):
    """w_i = C(e_i + gamma grad f_i(x)); x -= mean w_i; e_i += gamma grad f_i(x) - w_i.

    Seide et al. 2014; Stich, Cordonnier, Jaggi 2018. At a constant stepsize it stops at an error
    of order gamma^2, unless the workers share their minimiser.
    """

    def setup(self, workers):
        self._errors = np.zeros((workers, self.x.size), self.x.dtype)
        self._scaled = np.zeros_like(self._errors)

    def round(self, t):
        self._errors += np.multiply(self.gradients(self.x), self.stepsize, out=self._scaled)
        own, mean = self.exchange(self._errors, self.compressor)
        self._errors -= own
        self.x -= mean


@methods.register("EF21")
class EF21(Method):
    """c_i = C(grad f_i(x) - g_i); g_i += c_i; g += mean c_i; x -= gamma g.

    Richtarik, Sokolov, Fatkhullin 2021, algorithm 2. Round 0 sends g_i^0: whole (`g0 = "dense"`),
    or compressed, C(grad f_i(x^0)); it is counted either way.
    """

    def __init__(self, *state, g0: Literal["dense", "compressed"] = "dense"):
        super().__init__(*state)
        self.first = self.dense if g0 == "dense" else self.compressor

    def setup(self, workers):
        self._estimates = np.zeros((workers, self.x.size), self.x.dtype)
        self._estimate = np.zeros_like(self.x)
        self._difference = np.zeros_like(self._estimates)

    def round(self, t):
        np.subtract(self.gradients(self.x), self._estimates, out=self._difference)
        own, mean = self.exchange(self._difference, self.first if t == 0 else self.compressor)
        self._estimates += own
        self._estimate += mean
        self.move(self._estimate)

    def estimate_error(self):
        return self._estimates, self._estimate
