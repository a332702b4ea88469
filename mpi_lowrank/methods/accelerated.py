"""Accelerated methods with two messages per round: ADIANA and ADEF."""

from math import inf, sqrt

import numpy as np

from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import mean_variance, strong_convexity
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.rounds.randomness import Purpose


class Twice(EF21):
    """Two messages per round about gradients; round 0 sends one, the whole gradients."""

    g0 = "dense"

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._second = setting.uplink("second")
        self._point, self._direction = np.zeros((2, self.x.size), self.x.dtype)
        self._change: np.ndarray | None = None

    def _apart(self, point):
        """How far the gradients at the point are from the estimates, (workers, d)."""
        return np.subtract(self.gradients(point), self._estimates, out=self._difference)

    def _learn_from(self, own, mean):
        """Move the estimates by what was sent."""
        self._change = own
        self._estimate += mean
        if self._stores:
            self._estimates += own

    def estimate_change(self):
        return self._change

    def _arrive(self, point):
        """Move x, which is what is evaluated, to the point, by the step rule."""
        self.step(np.subtract(self.x, point, out=self._displacement))


@methods.register("ADIANA")
class ADIANA(Twice):
    """DIANA accelerated: messages Q(grad f_i(x) - h_i) for the step, Q(grad f_i(w) - h_i) for h_i.

    x = theta_1 z + w/2 + (1/2 - theta_1) y; y+ = x - gamma (h + mean of the first); h_i += the
    second / (1 + omega); z = beta z + (1 - beta) x + (delta/gamma)(y+ - x); w = y with probability
    p, by a shared coin. Li, Kovalev, Qian, Richtarik 2020, with the constants of theorem 5. Q is
    unbiased, f strongly convex: mu is the problem's. y is evaluated. Round 0 sends whole gradients.
    """

    needs_unbiased = True

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        mu = strong_convexity(setting.constants, self.name, "take method DIANA")
        gamma, omega = setting.stepsize, setting.compressor.omega
        self._p, self._share = _probability(setting.compressor, setting.total), 1 / (1 + omega)
        self._theta = min(1 / 4, sqrt(gamma * mu / self._p))
        self._delta = gamma / (2 * (self._theta + gamma * mu))
        self._beta = 1 - self._delta * mu
        self._coin = setting.draws(Purpose.COIN)
        self._z, self._w = (setting.state.array(name, self.x.size) for name in "zw")
        self._z[:] = self._w[:] = self.x

    def round(self, t):
        self._between()
        if t == 0:
            own, mean = self.exchange(self._apart(self._point), self.first, own=self._stores)
            self._direction[:] = mean
        else:
            mean = self.exchange(self._apart(self._point), self.compressor, own=False)[1]
            np.add(self._estimate, mean, out=self._direction)
            own, mean = self.exchange(self._apart(self._w), self._second, own=self._stores)
            mean *= self._share
            if self._stores:
                own *= self._share
        self._learn_from(own, mean)
        self._follow(t)

    def _between(self):
        """Set x, at which gradients are taken, between z, w and y."""
        point = np.multiply(self._z, self._theta, out=self._point)
        point += np.multiply(self._w, 1 / 2, out=self._displacement)
        point += np.multiply(self.x, 1 / 2 - self._theta, out=self._displacement)

    def _follow(self, t):
        """Move z, w and y."""
        z, point = self._z, self._point
        z *= self._beta
        z += np.multiply(point, 1 - self._beta, out=self._displacement)
        z -= np.multiply(self._direction, self._delta, out=self._displacement)
        if self._coin.at(t).random() < self._p:
            self._w[:] = self.x
        self._direction *= self.stepsize
        point -= self._direction
        self._arrive(point)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        cls.admit(compressor)
        L, workers = constants.L_max, len(constants.L_i)
        variance, p = mean_variance(compressor, workers), _probability(compressor, workers)
        if not variance:
            return 1 / (2 * L)
        return min(1 / 2, 1 / (64 * variance * (2 * p * (compressor.omega + 1) + 1) ** 2)) / L


@methods.register("ADEF")
class ADEF(Twice):
    """Nesterov's method with messages C(grad f_i - g_i), then C of what is left, with old errors.

    y = (A x + a v)/(A + a), a^2 = gamma (A + a); g_i += C(grad f_i(y) - g_i); d_i = grad f_i(y) -
    g_i - e_i / a; e_i = a (C(d_i) - d_i); v -= a mean (g_i + C(d_i)); x = (A x + a v)/(A + a); A +=
    a. Gao, Islamov, Stich 2025 (accelerated distributed optimisation with compression and error
    feedback), for convex f; its theorem's constants are not known here, so there is no stepsize of
    the theory. Without compression it is Nesterov's method with step gamma. x is evaluated. Round 0
    sends the gradients whole.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        state, d = setting.state, self.x.size
        self._weight, self._v = state.array("A"), state.array("v", d)
        self._v[:] = self.x
        self._errors = state.rows("e_i", d)

    def round(self, t):
        weight = self._weight.item()
        gamma = max(float(self.stepsize), np.finfo(float).tiny)  # half of it is not 0
        a = (gamma + sqrt(gamma * gamma + 4 * gamma * weight)) / 2
        self._mix(weight, a)
        first = self.first if t == 0 else self.compressor
        own, mean = self.exchange(self._apart(self._point), first, own=self._stores)
        self._learn_from(own, mean)
        self._difference -= own if self._stores else mean
        np.copyto(self._direction, self._estimate)
        if t > 0:
            self._direction += self._send_errors(a)
        self._v -= np.multiply(self._direction, a, out=self._displacement)
        self._mix(weight, a)
        self._weight += a
        self._arrive(self._point)

    def _mix(self, weight, a):
        """Set the point to (A x + a v)/(A + a)."""
        np.multiply(self.x, weight / (weight + a), out=self._point)
        self._point += np.multiply(self._v, a / (weight + a), out=self._displacement)

    def _send_errors(self, a):
        """Send C(d_i) and keep the errors; return the mean of the C(d_i)."""
        self._errors /= -a
        self._errors += self._difference
        own, mean = self.exchange(self._errors, self._second)
        assert own is not None
        np.subtract(own, self._errors, out=self._errors)
        self._errors *= a
        return mean

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        raise UserError(
            f"method {cls.name}: has no theory's stepsize here; set stepsize, a number or one such "
            "as '1/L'"
        )


def _probability(compressor, workers):
    """The probability p that w becomes y: the theorem's, with omega_mean for omega / n."""
    variance, share = mean_variance(compressor, workers), 1 / (1 + compressor.omega)
    averaged = sqrt(1 / (32 * variance)) - 1 if variance else inf
    return min(1.0, share / 2 * max(1.0, averaged))
