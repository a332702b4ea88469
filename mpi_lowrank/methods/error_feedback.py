"""Error feedback: EF14, EF21, and EF21 with silent workers or a compressed downlink."""

from math import sqrt
from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method, ef21_stepsize, spread
from mpi_lowrank.methods.guarantees import Guarantee, contraction
from mpi_lowrank.methods.participation import Participating
from mpi_lowrank.registry import Choice


@methods.register("EF14")
class EF14(Method):
    """w_i = C(e_i + gamma grad f_i(x)); x -= mean w_i; e_i += gamma grad f_i(x) - w_i.

    Seide et al. 2014; Stich, Cordonnier, Jaggi 2018. At a constant stepsize it stops at an error
    of order gamma^2, unless the workers share their minimiser.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._errors = setting.state.rows("e_i", self.x.size)
        self._scaled = np.zeros_like(self._errors)

    def round(self, t):
        self._errors += np.multiply(self.target(t), self.stepsize, out=self._scaled)
        own, mean = self.exchange(self._errors, self.compressor)
        self._errors -= own
        self.step(mean)


@methods.register("EF21")
class EF21(Method):
    """c_i = C(grad f_i(x) - g_i); g_i += c_i; g += mean c_i; x -= gamma g.

    Richtarik, Sokolov, Fatkhullin 2021, algorithm 2. Round 0 sends g_i^0: whole (`g0 = "dense"`),
    or compressed, C(grad f_i(x^0)); it is counted either way, but in papers' bits as one message of
    C. What a linear compressor makes of the mean depends on the mean alone, so there g stands for
    all g_i and none is stored.
    """

    g0: Literal["dense", "compressed"] = option("dense")

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self.first = self.dense if self.g0 == "dense" else self.compressor
        self.exchange.published_as[self.first] = self.compressor
        state, d = setting.state, self.x.size
        self._estimate = state.array("g", d)
        self._stores = not self.compressor.linear
        self._estimates = state.rows("g_i", d) if self._stores else self._estimate
        self._difference = np.zeros((len(setting.numbers), d), self.x.dtype)

    def round(self, t):
        self._learn(t)
        self.move(self._estimate)

    def _learn(self, t):
        ways = {"own": self._stores, "add_to": self._estimate}
        own, _ = self._news(t, active=self.active(t), **ways)
        if self._stores:
            self._estimates += own

    def _news(self, t, **ways):
        """Send how far the target is from g_i; return (own, mean) of it."""
        return self.exchange(self._behind_target(t), self._through(t), **ways)

    def _behind_target(self, t):
        """How far the g_i are from the target, (workers, d)."""
        return Difference(self.target(t), self._estimates, self._difference)

    def _through(self, t):
        """The compressor of round t."""
        return self.first if t == 0 else self.compressor

    def active(self, t):
        """Which workers speak in round t, (total,) bool; None: all."""
        return None

    def estimate_error(self):
        return (self._estimates, self._estimate) if self._stores else None

    def gradient_estimates(self):
        state = self.estimate_error()
        return self._estimates if state is None else state[0]

    def gaps(self, t, now, goal, mean):
        known = now if t == 0 and self.g0 == "dense" else self._estimates
        return [known - goal] if self._stores else [_mean_of(known, mean) - mean(goal)]

    def guarantee(self, constants):
        alpha = self.compressor.alpha
        if alpha is None:
            return None
        moved = spread(constants, self.compressor)
        return contraction(1 - alpha, 1 - alpha, moved, self.compressor.deterministic)


@methods.register("EF21-PP")
class PartialParticipation(Participating, EF21):
    """EF21 in which each worker takes part in a round with `probability`, else is silent.

    Fatkhullin et al. 2021. A silent worker keeps its g_i; every worker sends g_i^0. The stepsize is
    EF21's with probability * alpha in place of alpha. probability = 1 is EF21. Linear compressors
    are not admitted: with one g for all workers it is the mean over those who speak that g would
    follow, and a floor is left; nor is a byte saved, as sums pass the silent workers' ranks too.
    """

    def active(self, t):
        return None if t == 0 else self.taking_part(t)

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        super().theory_stepsize(constants, compressor, options)  # refuses what has no alpha
        return ef21_stepsize(constants, options.probability * compressor.alpha, linear=False)

    @classmethod
    def admit(cls, compressor):
        super().admit(compressor)
        if compressor.linear:
            raise UserError(
                f"method {cls.name}: compressor {compressor.name} tells of the workers' mean "
                "alone, but each one's estimate of its own gradient is needed while others are "
                "silent or take local steps; take one that has messages, such as topk, or EF21"
            )

    def guarantee(self, constants):
        p, alpha = self.probability, self.compressor.alpha
        if alpha is None:
            return None
        left, certain = 1 - p * alpha, p == 1 and self.compressor.deterministic
        return contraction(left, left, constants.L_tilde, certain)


@methods.register("EF21-BC")
class BidirectionalCompression(EF21):
    """EF21 whose server compresses too: g += C_down(mean g_i - g) is all that it broadcasts.

    Fatkhullin et al. 2021. `downlink` is C_down; with the identity it is EF21. Needs
    topology = "server". The step is EF21's, times the case's multiple; the theory's is smaller.
    """

    needs_server = True
    downlink: Choice = option()

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._downlink = setting.downlink("downlink", self.downlink)
        self._mean = setting.state.array("mean g_i", self.x.size)  # known to the server alone
        self._behind = np.zeros_like(self.x)

    def round(self, t):
        own, mean = self._news(t, share=False)
        self._estimates += own
        self._mean += mean
        np.subtract(self._mean, self._estimate, out=self._behind)
        self._estimate += self.exchange.broadcast(self._behind, self._downlink)
        self.move(self._estimate)

    def estimate_error(self):
        return None  # g follows mean g_i at the downlink compressor's pace

    def gaps(self, t, now, goal, mean):
        known = now if t == 0 and self.g0 == "dense" else self._estimates
        return [known - goal, self._estimate - mean(known)]

    def guarantee(self, constants):
        """What the theorem of its paper rests on: of its g_i, and of |g - mean g_i|^2.

        |g^t - grad f|^2 is at most 2 |g^t - mean g_i^t|^2 + 2 mean |g_i^t - grad f_i|^2, and
        |C(v)|^2 at most 4 |v|^2, by which mean g_i moves.
        """
        up, down = self.compressor.alpha, self._downlink.alpha
        if up is None or down is None:
            return None
        s, s_down = sqrt(1 - up), sqrt(1 - down)
        heard = 4 * (1 - down) / (1 - s_down)
        return Guarantee(
            reach=2 * np.array([1 - up + heard, s_down]),
            keep=np.array([[s, 0], [heard, s_down]]),
            drift=np.array([constants.L_tilde**2 / (1 - s), 0]),
            certain=self.compressor.deterministic and self._downlink.deterministic,
        )


def _mean_of(rows, mean):
    """A vector is the mean of all workers' already."""
    return mean(rows) if rows.ndim == 2 else rows
