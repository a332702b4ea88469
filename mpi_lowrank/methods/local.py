"""Several steps of each worker between two exchanges: FedAvg, FedPAQ, SCAFCOM, SCALLION."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import check_share
from mpi_lowrank.methods.error_feedback import PartialParticipation
from mpi_lowrank.methods.gradient_descent import DCGD
from mpi_lowrank.methods.participation import Participating
from mpi_lowrank.methods.sampled import EF21SGDM, Sampled


class Local(Sampled, Participating):
    """Each worker takes `local_steps` steps from x by itself; its target is their mean gradient.

    The stepsize of a local step is reach * gamma / local_steps: with `reach` 1 all of them together
    go as far as the server's step of size gamma. Each local step draws a batch of its own. With a
    `probability` below 1 some workers are silent.
    """

    probability: float = option(1.0)
    local_steps: int = option(1)
    reach: float = option(1.0)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._local = self.x.dtype.type(self.reach * setting.stepsize / self.local_steps)
        self._points, self._sum = np.zeros((2, len(setting.numbers), self.x.size), self.x.dtype)

    @classmethod
    def check(cls, options):
        super().check(options)
        if options.local_steps < 1:
            raise OptionError("local_steps", options.local_steps, "an integer from 1")
        if not options.reach >= 0:
            raise OptionError("reach", options.reach, "a number from 0")

    def target(self, t):
        gradients = super().target(t)
        if self.local_steps == 1:
            return gradients
        self._points[:], self._sum[:] = self.x, gradients
        for step in range(1, self.local_steps):
            gradients *= self._local
            self._points -= gradients
            self.correct(self._points, self._local)
            gradients = self.gradients(self._points, self.drawn(t, step))
            self._sum += gradients
        self._sum /= self.local_steps
        return self._sum

    def correct(self, points, stepsize):
        """Correct a step of the `points` (workers, d), in place, for the drift to local minima."""

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        if options.probability < 1:
            raise UserError(
                f"method {cls.name}: no stepsize is proved here for silent workers; set stepsize"
            )
        if options.local_steps == 1:
            return super().theory_stepsize(constants, compressor, options)
        raise UserError(
            f"method {cls.name}: no stepsize is proved here for local_steps above 1; set stepsize, "
            "a number or one such as '0.5/L'"
        )


@methods.register("FedPAQ")
class FedPAQ(Local, DCGD):
    """x -= gamma mean C(mean of a worker's local gradients), over those that take part.

    Reisizadeh et al. 2020. C compresses (x - y_i) / gamma, y_i being where worker i's local steps
    lead. With probability = 1, local_steps = 1 and no batch it is DCGD. Workers drift towards their
    own minima, so it stops at a distance that shrinks with the local steps.
    """

    def round(self, t):
        active = self.taking_part(t)
        if not active.any():
            return
        weights = active / np.count_nonzero(active)
        _, mean = self.exchange(self.target(t), self.compressor, weights, active, own=False)
        self.move(mean)


@methods.register("FedAvg")
class FedAvg(FedPAQ):
    """FedPAQ without compression: x becomes the mean of the workers' y_i (McMahan et al. 2017).

    With probability = 1 and local_steps = 1 it is SGD.
    """

    needs_compressor = False


class Corrected(Local, PartialParticipation):
    """EF21 on local steps y_i -= eta_l (grad f_i(y_i; batch) - c_i + c): c_i, c are its g_i and g.

    The correction takes FedAvg's drift away: a fixed point is a minimum.
    """

    def correct(self, points, stepsize):
        np.subtract(self._estimates, self._estimate, out=self._difference)
        self._difference *= stepsize
        points += self._difference


@methods.register("SCAFCOM")
class SCAFCOM(EF21SGDM, Corrected):
    """EF21-SGDM with corrected local steps and silent workers.

    Huang, Li, Li 2023: v_i = (1 - eta) v_i + eta (mean of the local gradients),
    c_i += C(v_i - c_i), c = mean c_i, x -= gamma c. A silent worker keeps its v_i and c_i. Round 0
    has no momentum, and all workers send c_i^0. With local_steps = 1 and probability = 1 it is
    EF21-SGDM, whose stepsize is the only one proved here.
    """


@methods.register("SCALLION")
class SCALLION(Corrected):
    """SCAFCOM for unbiased compressors: c_i += C(alpha (mean of local gradients - c_i)).

    Huang, Li, Li 2023. `alpha` is 1 / (1 + omega) unless given, for which alpha C contracts in the
    mean. With alpha = 1, local_steps = 1 and probability = 1 it is EF21-SGD. No stepsize is proved
    here.
    """

    needs_unbiased = True
    alpha: float | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._share = 1 / (1 + (self.compressor.omega or 0)) if self.alpha is None else self.alpha

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("alpha", options.alpha)

    def _behind_target(self, t):
        behind = np.asarray(super()._behind_target(t))
        if self._through(t) is self.compressor:
            behind *= self._share
        return behind

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        raise UserError("method SCALLION: no stepsize is proved here; set one, such as '0.5/L'")
