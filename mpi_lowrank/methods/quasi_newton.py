"""L-BFGS: the fair reference for rounds, and a minimum as accurate as the numbers are."""

import numpy as np
import scipy  # scipy.optimize is loaded at its first use: starts are a fourth faster

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method
from mpi_lowrank.registry import Choice

WHOLE = Choice("identity", {"wire": "float64"})


class _Unknown(Exception):
    """SciPy asks for f and its gradient at a point, the argument, that no round has evaluated."""


@methods.register("L-BFGS")
class LBFGS(Method):
    """SciPy's L-BFGS, every f_i and gradient sent whole: a round per point that it evaluates.

    Liu, Nocedal 1989; Byrd, Lu, Nocedal, Zhu 1995. All ranks hold the same mean of f and of the
    gradient, in float64, and take the same step. x, which is evaluated, is the point that SciPy
    asks for next, trial points of its line search included. SciPy cannot be stopped within a search
    and continued, so each round it starts over on the known evaluations: rounds and bytes mean
    something here, seconds do not. `memory`: pairs that make the inverse Hessian. Where SciPy finds
    no further point, x stays. The stepsize and the step rule are not used.
    """

    needs_compressor = False
    memory: int = option(20)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        d, state = self.x.size, setting.state
        self._losses = setting.losses
        self._uplink = setting.uplink("f and its gradient", WHOLE, (d + 1,))
        self._start = state.array("x0", d, float)
        self._start[:] = self.x
        self._known = state.array("evaluations", (setting.rounds, d + 1), float)
        self._told = np.zeros((len(setting.numbers), d + 1))

    @classmethod
    def check(cls, options):
        if options.memory < 1:
            raise OptionError("memory", options.memory, "an integer from 1")

    def round(self, t):
        self._told[:, 0] = self._losses(self.x)
        self._told[:, 1:] = self.gradients(self.x)
        _, mean = self.exchange(self._told, self._uplink, own=False)
        self._known[t] = mean
        self.x[:] = self._next(t + 1)

    def _next(self, count):
        """The point that follows from the first `count` evaluations."""
        known = iter(self._known[:count])

        def evaluate(x):
            evaluation = next(known, None)
            if evaluation is None:
                raise _Unknown(x)
            return evaluation[0], evaluation[1:].copy()

        endless = dict.fromkeys(("maxiter", "maxfun"), np.iinfo(np.int32).max)
        settings = {"maxcor": self.memory, "ftol": 0, "gtol": 0, **endless}
        try:
            return scipy.optimize.minimize(
                evaluate, self._start, jac=True, method="L-BFGS-B", options=settings
            ).x
        except _Unknown as asked:
            return asked.args[0]

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        return 1 / constants.L
