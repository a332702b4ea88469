"""Methods whose theory rests on the variance of what workers send: EF-BV, DIANA, MARINA."""

from dataclasses import replace
from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method, check_share, mean_variance, spread
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.methods.guarantees import Distance, Guarantee, contraction
from mpi_lowrank.rounds.randomness import Purpose


def bias_and_deviation(compressor, workers):
    """eta, omega and omega_mean: |E C(x) - x| <= eta |x|, E|C(x) - E C(x)|^2 <= omega |x|^2.

    For a compressor that has only alpha they are sqrt(1 - alpha), 0 and 0: that serves the proof as
    well, because a convex combination of x and x - C(x) is, in the mean square, no longer than the
    same combination of their lengths. Raises UserError for one that has neither alpha nor omega.
    """
    if compressor.omega is not None:
        return 0.0, compressor.omega, mean_variance(compressor, workers)
    if compressor.alpha is None:
        raise UserError(
            f"compressor {compressor.name}: has neither alpha nor omega, on one of which EF-BV's "
            "lambda and nu rest; set both, and a stepsize"
        )
    return sqrt(1 - compressor.alpha), 0.0, 0.0


def _best_share(eta, omega):
    """The lambda up to 1 at which (1 - lambda + lambda eta)^2 + lambda^2 omega is least."""
    return 1.0 if eta == 1 else min((1 - eta) / ((1 - eta) ** 2 + omega), 1.0)


@methods.register("EF-BV")
class EFBV(EF21):
    """m_i = C(grad f_i(x) - h_i); g = h + nu mean m_i; h_i += lambda m_i; h += lambda mean m_i.

    Condat, Li, Richtarik 2022: biased and unbiased C in one. lambda = nu = 1 is EF21; lambda =
    1/(1 + omega), nu = 1 is DIANA. Unless given, both are the best for the compressor's bias and
    variance: 1 for a biased one, 1/(1 + omega) and 1/(1 + omega_mean) for an unbiased one.

    gamma <= 1/(L + L_tilde sqrt(r_mean) / (1 - sqrt(r))), with r = (1 - lambda + lambda eta)^2 +
    lambda^2 omega, and r_mean the same of nu and omega_mean. It follows from the proof of EF21's
    theorem 1: E|grad f_i - h_i|^2 shrinks by the factor r, and E|g - grad f|^2 is at most r_mean
    times as much. At lambda = nu = 1 it is EF21's; the paper's own, for its Polyak-Lojasiewicz
    theorem, is smaller.
    """

    lambda_: float | None = option(None)
    nu: float | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        shares = self._shares(setting.compressor, setting.total, self.lambda_, self.nu)
        self._lambda, self._nu = map(self.x.dtype.type, shares)
        self._direction, self._moved = np.zeros_like(self.x), np.ones((), self.x.dtype)

    def round(self, t):
        if t == 0 and self.g0 == "dense":
            super().round(t)
            self._moved[()] = 1
            return
        own, mean = self._news(t, own=self._stores)
        np.multiply(mean, self._nu, out=self._direction)
        self._direction += self._estimate
        if self._stores:
            own *= self._lambda
            self._estimates += own
        mean *= self._lambda
        self._estimate += mean
        self._moved[()] = self._lambda
        self.move(self._direction)

    def estimate_change(self):
        change = super().estimate_change()
        return None if change is None else change * self._moved

    @staticmethod
    def _shares(compressor, workers, lambda_, nu):
        if lambda_ is not None and nu is not None:
            return lambda_, nu
        eta, omega, omega_mean = bias_and_deviation(compressor, workers)
        best = _best_share(eta, omega), _best_share(eta, omega_mean)
        return best[0] if lambda_ is None else lambda_, best[1] if nu is None else nu

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("lambda", options.lambda_)
        check_share("nu", options.nu)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        workers = len(constants.L_i)
        r, r_mean = cls._left(compressor, workers, options)
        if r >= 1:
            share = cls._shares(compressor, workers, options.lambda_, options.nu)[0]
            raise OptionError("lambda", share, f"one at which h_i comes nearer: r = {r:.3g} >= 1")
        moved = spread(constants, compressor)
        return 1 / (constants.L + moved * sqrt(r_mean) / (1 - sqrt(r)))

    @classmethod
    def _left(cls, compressor, workers, options):
        """r and r_mean."""
        eta, omega, omega_mean = bias_and_deviation(compressor, workers)
        share, nu = cls._shares(compressor, workers, options.lambda_, options.nu)
        r = (1 - share + share * eta) ** 2 + share**2 * omega
        return r, (1 - nu + nu * eta) ** 2 + nu**2 * omega_mean

    def guarantee(self, constants):
        compressor = self.compressor
        if compressor.omega is None and compressor.alpha is None:
            return None
        r, r_mean = self._left(compressor, len(constants.L_i), self)
        moved = spread(constants, compressor)
        return contraction(r, r_mean, moved, compressor.deterministic) if r < 1 else None


@methods.register("DIANA")
class DIANA(EFBV):
    """m_i = Q(grad f_i(x) - h_i); x -= gamma (h + mean m_i); h_i += m_i / (1 + omega), h likewise.

    Mishchenko, Gorbunov, Takac, Richtarik 2019; constants of Horvath et al. 2019. Q is unbiased;
    with omega = 0 it is GD. gamma <= 1/((1 + 6 omega_mean) max L_i), omega_mean = omega / n where
    workers draw for themselves; a linear Q sees f alone, and L takes max L_i's place.
    """

    lambda_ = None
    nu = 1.0
    needs_unbiased = True

    @classmethod
    def check(cls, options):
        """Nothing to check: its lambda and nu follow from omega."""

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        cls.admit(compressor)
        L = constants.L if compressor.linear else constants.L_max
        return 1 / ((1 + 6 * mean_variance(compressor, len(constants.L_i))) * L)

    def guarantee(self, constants):
        """EF-BV's for a smooth f; for convex f_i, which mu tells, its own."""
        whole, omega = super().guarantee(constants), self.compressor.omega
        assert omega is not None  # or the compressor was not admitted
        if whole is None or not constants.mu:
            return whole
        one = 1 + omega
        weight = 4 * mean_variance(self.compressor, len(constants.L_i)) * one
        limit = self.theory_stepsize(constants, self.compressor, self)
        return replace(whole, distance=Distance(weight, limit, 1 / (2 * one)))


@methods.register("MARINA")
class MARINA(Method):
    """g = mean grad f_i(x), whole, by a shared coin of probability p; else g += mean Q(change).

    The change is that of grad f_i since the last round. Gorbunov, Burlachenko, Li, Richtarik 2021,
    theorem 2.1: gamma <= 1/(L + L_tilde sqrt((1 - p) omega_mean / p)); a linear Q sees f alone, and
    L takes L_tilde's place. Q is unbiased; p is 1/(1 + omega) unless given; p = 1 is GD. Round 0
    sends the gradients whole.
    """

    needs_unbiased = True
    p: float | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._p = self._probability(setting.compressor, self.p)
        self._coin = setting.draws(Purpose.COIN)
        state, d = setting.state, self.x.size
        self._estimate, self._before = state.array("g", d), state.rows("grad f_i", d)
        self._change = np.zeros_like(self._before)

    def round(self, t):
        gradients = self.target(t)
        if t == 0 or self._coin.at(t).random() < self._p:
            self._estimate[:] = self.exchange(gradients, self.dense, own=False)[1]
        else:
            np.subtract(gradients, self._before, out=self._change)
            self._estimate += self.exchange(self._change, self.compressor, own=False)[1]
        self._before[:] = gradients
        self.move(self._estimate)

    def gradient_estimates(self):
        return self._estimate

    @staticmethod
    def _probability(compressor, p):
        return 1 / (1 + compressor.omega) if p is None else p

    @classmethod
    def check(cls, options):
        check_share("p", options.p)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        cls.admit(compressor)
        p = cls._probability(compressor, options.p)
        variance = mean_variance(compressor, len(constants.L_i))
        moved = spread(constants, compressor)
        return 1 / (constants.L + moved * sqrt((1 - p) * variance / p))

    def gaps(self, t, now, goal, mean):
        g, before = (mean(now), now) if t == 0 else (self._estimate, self._before)
        change = before - now
        return [g - mean(before), mean(change) if self.compressor.linear else change]

    def guarantee(self, constants):
        """Of |g - grad f|^2 at the x before, and of mean |grad f_i's change|^2 since."""
        rest = 1 - self._p
        reach = rest * np.array([1, mean_variance(self.compressor, len(constants.L_i))])
        drift = np.array([0, spread(constants, self.compressor) ** 2])
        return Guarantee(reach, np.array([reach, np.zeros(2)]), drift, certain=False)
