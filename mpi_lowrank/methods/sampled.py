"""Gradients of batches: SGD, and EF21 on these gradients, on their running mean and on PAGE."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method, check_share
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.methods.gradient_descent import GD
from mpi_lowrank.rounds.randomness import Purpose


class Sampled(Method):
    """Each worker's gradients are those of `batch` of its samples, drawn anew for each round.

    Draws are without replacement. All samples count for a worker that has no more than `batch`, and
    for all workers without a `batch`.
    """

    batch: int | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._batches = setting.batches(self.batch) if self.batch else None

    @classmethod
    def check(cls, options):
        super().check(options)
        if options.batch is not None and options.batch < 1:
            raise OptionError("batch", options.batch, "a number of samples, from 1")

    def target(self, t):
        return self.gradients(self.x, self.drawn(t))

    def drawn(self, t, call=0):
        """The batch of a call of round t; None: all samples."""
        return self._batches.at(t, call) if self._batches else None


@methods.register("SGD")
class SGD(Sampled, GD):
    """x -= gamma mean grad f_i(x; batch), sent whole. Without a batch it is GD.

    At gamma <= 1/L the mean of |grad f|^2 falls to a floor of the order of gamma L sigma^2 / n,
    where sigma^2 is the variance of a worker's batch (Ghadimi, Lan 2013).
    """


@methods.register("EF21-SGD")
class EF21SGD(Sampled, EF21):
    """EF21 on the gradients of batches. Without a batch it is EF21.

    Fatkhullin et al. 2021. g_i follows the noise, which a contractive C does not average: whatever
    the stepsize, |grad f|^2 stays of the order of a batch's variance (Fatkhullin, Tyurin, Richtarik
    2023, theorem 1). The stepsize is EF21's, to which the theorem's tends as batches grow.
    """


@methods.register("EF21-SGDM")
class EF21SGDM(Sampled, EF21):
    """v_i = (1 - eta) v_i + eta grad f_i(x; batch); EF21 on v_i. v_i^0 is the first gradient.

    Fatkhullin, Tyurin, Richtarik 2023, algorithm 1: the momentum averages the noise before it is
    compressed. eta = 1 is EF21-SGD. gamma <= min(alpha / (20 L_tilde), eta / (7 L)), theorem 3.
    """

    eta: float = option(0.1)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._followed = setting.state.rows("v_i", self.x.size)
        self._numbers = setting.numbers

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("eta", options.eta)

    def target(self, t):
        gradients = super().target(t)
        if t == 0:
            self._followed[:] = gradients
        else:
            self._average(gradients, self.active(t))
        return self._followed

    def _average(self, gradients, active):
        """Move the v_i of the workers that speak; the others keep theirs."""
        rows = True if active is None else active[self._numbers, np.newaxis]
        followed = self._followed
        gradients *= self.eta
        np.multiply(followed, 1 - self.eta, out=followed, where=rows)
        np.add(followed, gradients, out=followed, where=rows)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        super().theory_stepsize(constants, compressor, options)  # refuses what has no alpha
        own = constants.L if compressor.linear else constants.L_tilde
        return min(compressor.alpha / (20 * own), options.eta / (7 * constants.L))


@methods.register("EF21-PAGE")
class EF21PAGE(Sampled, EF21):
    """v_i = grad f_i(x) with `probability`, else v_i += grad f_i(x; B) - grad f_i(x_before; B).

    EF21 on v_i (Fatkhullin et al. 2021; Li, Bao, Zhang, Richtarik 2021). All workers take the whole
    gradient in the same rounds, round 0 among them. Both gradients of a batch are of the same
    samples, so the noise vanishes where x rests. probability = 1 is EF21. There is no theory's
    stepsize else: it rests on the smoothness of single samples, which is not known here.
    """

    probability: float = option(0.1)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._coin = setting.draws(Purpose.COIN)
        self._followed = setting.state.rows("v_i", self.x.size)
        self._before = setting.state.array("x before", self.x.size)

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("probability", options.probability)

    def target(self, t):
        if t == 0 or self._coin.at(t).random() < self.probability:
            self._followed[:] = self.gradients(self.x)
        else:
            batch = self.drawn(t)
            self._followed += self.gradients(self.x, batch)
            self._followed -= self.gradients(self._before, batch)
        self._before[:] = self.x
        return self._followed

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        if options.probability == 1:
            return super().theory_stepsize(constants, compressor, options)
        raise UserError(
            "method EF21-PAGE: the theory's stepsize rests on the smoothness of single samples, "
            "which is not known; set stepsize, a number or one such as '2/L', instead"
        )
