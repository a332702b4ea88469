"""Local steps until a shared coin falls: Scaffnew, CompressedScaffnew, LoCoDL."""

from abc import abstractmethod
from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors.coordinates.permutation import PermK
from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method, check_share, mean_variance, strong_convexity
from mpi_lowrank.rounds.randomness import Purpose


class LocalSteps(Method):
    """A round is local steps until a shared coin of probability p falls, and then an exchange.

    The number of steps, which is the number of throws, is drawn at once. Each worker takes its
    gradients at its own point. The theory's stepsize is 1/max L_i.
    """

    p: float | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._p = self.p or self._probability(setting)
        self._coin = setting.draws(Purpose.COIN)
        self._sent = np.zeros((len(setting.numbers), self.x.size), self.x.dtype)

    def round(self, t):
        self._begin()
        for _ in range(int(self._coin.at(t).geometric(self._p))):
            self._local_step()
        self._communicate()

    @abstractmethod
    def _begin(self):
        """Before the first local step."""

    @abstractmethod
    def _local_step(self):
        """Let every worker take one step by itself."""

    @abstractmethod
    def _communicate(self):
        """Exchange where the local steps have led."""

    def _probability(self, setting):
        """The theory's p for this stepsize."""
        instead = "set p, a number above 0, at most 1"
        mu = strong_convexity(setting.constants, self.name, instead)
        return min(1.0, sqrt(self._noise(setting) * setting.stepsize * mu))

    def _noise(self, setting):
        """By what factor the variance of the messages makes p^2 larger."""
        return 1

    @classmethod
    def check(cls, options):
        check_share("p", options.p)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        cls.admit(compressor)
        return 1 / constants.L_max


@methods.register("Scaffnew")
class Scaffnew(LocalSteps):
    """x_i -= gamma (grad f_i(x_i) - h_i), until a coin of probability p says: x_i = mean x_i.

    Then h_i += (p/gamma)(mean x_i - x_i). Mishchenko, Malinovsky, Stich, Richtarik 2022
    (ProxSkip): gamma <= 1/max L_i, and p = sqrt(gamma mu), the default, makes 1/p rounds of 1/p^2
    local steps; p = 1 is GD. A worker sends how far it has gone. A round ends when the coin falls,
    and the mean is evaluated.
    """

    needs_compressor = False

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._controls = setting.state.rows("h_i", self.x.size)
        self._points, self._moved = np.zeros((2, *self._sent.shape), self.x.dtype)

    def _begin(self):
        self._points[:] = self.x

    def _local_step(self):
        gradients = self.gradients(self._points)
        gradients -= self._controls
        gradients *= self.stepsize
        self._points -= gradients

    def _communicate(self):
        np.subtract(self.x, self._points, out=self._sent)
        own, mean = self.exchange(self._sent, self.compressor)
        self._compare(own, mean)
        self._moved *= self._p / self.stepsize
        self._controls += self._moved
        self.step(mean)

    def _compare(self, own, mean):
        """Fill `_moved` with how far each worker went beyond the mean."""
        np.subtract(own, mean, out=self._moved)

    def estimate_error(self):
        """The h_i, whose mean is 0; not to the last bit where sums are Allreduced."""
        return None if self.compressor.shared else (self._controls, np.zeros_like(self.x))

    def repair(self, mean):
        self._controls -= mean

    def estimate_change(self):
        return self._moved


@methods.register("CompressedScaffnew")
class CompressedScaffnew(Scaffnew):
    """Scaffnew in which each coordinate is sent by s of the n workers: `permk` with copies = s.

    Condat, Agarsky, Richtarik 2022: q_i masks what worker i sends, h_i += (p eta/gamma) q_i (mean -
    x_i), eta = n (s - 1)/(s (n - 1)). s = n is Scaffnew. Stepsize and p are Scaffnew's; whether
    that p is the theorem's for s < n was not verified.
    """

    needs_compressor = True

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._mask = setting.compressor.sent
        n, s = setting.total, setting.compressor.copies
        self._eta, self._kept = n * (s - 1) / (s * (n - 1)), s / n
        self._masked = np.zeros(self._sent.shape, bool)

    def _compare(self, own, mean):
        self._mask(self._masked)
        np.multiply(own, self._kept, out=self._moved)
        self._moved -= mean
        self._moved *= self._masked
        self._moved *= self._eta

    @classmethod
    def admit(cls, compressor):
        super().admit(compressor)
        masks = isinstance(compressor, PermK) and compressor.scale == "unbiased"
        if not masks or compressor.copies < 2:
            raise UserError(
                f"method {cls.name}: takes permk with copies of 2 or more and scale = 'unbiased'"
                f", not {compressor.name}; LoCoDL takes any unbiased compressor"
            )


@methods.register("LoCoDL")
class LoCoDL(LocalSteps):
    """Scaffnew that sends d_i = Q(x_i - y), where y is a model that all workers know.

    Each step is x_i -= gamma (grad f_i(x_i) - u_i) and y -= gamma (grad r(y) - v); r is mu/4 |x|^2,
    which f_i here lacks. At the coin, with d half the mean of the d_i, x_i = (1 - rho) x_i + rho (y
    + d); y += rho d; u_i += c (d - d_i); v += c d. rho = chi = 1/(1 + omega_mean), c = p chi/(gamma
    (1 + 2 omega)). Condat, Maranjyan, Richtarik 2024: p = sqrt((1 + omega)(1 + omega_mean) gamma
    mu) unless given; the rate max((1 - gamma mu)^2, 1 - p^2 chi/(1 + 2 omega)) is not proved here.
    Q is unbiased, f strongly convex. y is evaluated.
    """

    needs_unbiased = True

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        compressor, d = setting.compressor, self.x.size
        mu = strong_convexity(setting.constants, self.name, "take method Scaffnew with a p")
        self._half = self.x.dtype.type(mu / 2)
        self._rho = 1 / (1 + mean_variance(compressor, setting.total))
        self._factor = self._p * self._rho / (setting.stepsize * (1 + 2 * compressor.omega))
        state = setting.state
        self._points, self._controls = state.rows("x_i", d), state.rows("u_i", d)
        self._points[:], self._control = self.x, state.array("v", d)
        self._y, self._work = np.zeros((2, d), self.x.dtype)

    def _noise(self, setting):
        mean = mean_variance(setting.compressor, setting.total)
        return (1 + setting.compressor.omega) * (1 + mean)

    def _begin(self):
        self._y[:] = self.x

    def _local_step(self):
        gradients = self.gradients(self._points)
        gradients -= np.multiply(self._points, self._half, out=self._sent)
        gradients -= self._controls
        gradients *= self.stepsize
        self._points -= gradients
        slope = np.multiply(self._y, self._half, out=self._work)
        slope -= self._control
        slope *= self.stepsize
        self._y -= slope

    def _communicate(self):
        np.subtract(self._points, self._y, out=self._sent)
        own, mean = self.exchange(self._sent, self.compressor)
        mean *= 0.5
        np.add(self._y, mean, out=self._work)
        self._points -= self._work
        self._points *= 1 - self._rho
        self._points += self._work
        own -= mean
        own *= -self._factor
        self._controls += own
        self._change = own
        self._y += np.multiply(mean, self._rho, out=self._work)
        mean *= self._factor
        self._control += mean
        self.step(np.subtract(self.x, self._y, out=self._displacement))

    def estimate_error(self):
        """The u_i, whose mean is -v; not to the last bit where sums are Allreduced."""
        return None if self.compressor.shared else (self._controls, -self._control)

    def repair(self, mean):
        np.negative(mean, out=self._control)

    def estimate_change(self):
        return self._change
