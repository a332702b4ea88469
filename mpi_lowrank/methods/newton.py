"""FedNL: Newton's method on learned Hessians; with line search, silent workers or a downlink.

Safaryan, Islamov, Qian, Richtarik 2021 (ICML 2022).
"""

from math import sqrt
from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors.factors.symmetric import Triangle
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method, check_share
from mpi_lowrank.methods.participation import Participating
from mpi_lowrank.registry import Choice
from mpi_lowrank.rounds.randomness import Purpose

NUMBER = Choice("identity", {"wire": "float64"})


class HessianLearning(Method):
    """S_i = C(hess f_i(x) - H_i); H_i += alpha S_i; H = mean H_i: H_i follows the Hessian of f_i.

    `hessian` is C, such as `eigen` or `symmetric_sdd`. It compresses lower triangles: d (d + 1) / 2
    numbers, scaled so that their norm is the Hessian's Frobenius norm. Gradients are sent whole.
    `h0`: H_i^0 is 0, or hess f_i(x^0), sent whole in round 0 and counted. `learning`: alpha is 1,
    or the theory's, 1 - sqrt(1 - alpha_C) of a contractive C and 1 / (1 + omega) of an unbiased
    one. Smaller eigenvalues than `mu` are raised to it in what is inverted; unless given it is the
    problem's strong convexity. The theory's stepsize is Newton's, 1. Every rank computes the
    eigenvalues of the same H: computers of different kinds may find different ones, and the run is
    then not valid.
    """

    needs_compressor = False
    needs_hessians = True
    shares = True
    """Whether all ranks know H; if not, the server alone does."""

    hessian: Choice = option()
    h0: Literal["zero", "exact"] = option("zero")
    learning: Literal["one", "theory"] = option("one")
    mu: float | None = option(None)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        d, state, local = self.x.size, setting.state, len(setting.numbers)
        self._hessians, size = setting.hessians, d * (d + 1) // 2
        self._least = self._strong_convexity(setting.constants.mu)
        self._triangle = Triangle(size, self.x.dtype)
        self._triangle.prepare()
        self._unfolded = self._triangle.zeros(1)
        self._uplink = setting.uplink("hessian", self.hessian, (size,))
        exact = self.h0 == "exact"
        self._whole = (
            setting.uplink("whole hessian", Choice("identity"), (size,)) if exact else None
        )
        self._number = setting.uplink("number", NUMBER, (1,))
        self._rate = self._learning_rate()
        self._learned, self._mean_learned = state.rows("H_i", size), state.array("H", size)
        self._difference = np.zeros((local, size), self.x.dtype)
        self._told = np.zeros((local, 1), self.x.dtype)
        self._moved = np.zeros((), self.x.dtype)

    def _strong_convexity(self, known):
        mu = known if self.mu is None else self.mu
        if not mu > 0:
            allowed = "a number above 0, to which eigenvalues are raised: the problem tells none"
            raise OptionError("mu", self.mu, allowed)
        return mu

    def _learning_rate(self):
        if self.learning == "one":
            return 1.0
        uplink = self._uplink
        if uplink.omega is not None:
            return 1 / (1 + uplink.omega)
        if uplink.alpha is None:
            raise UserError(
                f"compressor {uplink.name}: has neither alpha nor omega, on one of which the "
                'theory\'s learning rate of Hessians rests; set learning = "one"'
            )
        return 1 - sqrt(1 - uplink.alpha)

    @classmethod
    def check(cls, options):
        super().check(options)
        if options.mu is not None and not options.mu > 0:
            raise OptionError("mu", options.mu, "a number above 0")

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        return 1.0

    def look(self):
        """Compute how far the Hessians at x are from the H_i."""
        self._triangle.fold(self._hessians(self.x), self._difference)
        self._difference -= self._learned

    def learn(self, active=None):
        """Send C of that difference, and move the H_i and H by it."""
        self._take(self._uplink, self._rate, active)

    def start(self, t):
        """In round 0 of h0 = "exact", send the Hessians whole; return whether it was so."""
        if t == 0 and self._whole is not None:
            self._take(self._whole, 1.0, None)
            return True
        return False

    def _take(self, compressor, rate, active):
        own, mean = self.exchange(self._difference, compressor, active=active, share=self.shares)
        own *= rate
        self._learned += own
        self._difference -= own
        mean *= rate
        self._mean_learned += mean
        self._moved[()] = rate

    def distances(self):
        """|hess f_i(x) - H_i| in the Frobenius norm, (workers,)."""
        return np.linalg.norm(self._difference, axis=1)

    def mean(self, numbers):
        """The mean over all workers of `numbers` (local workers,)."""
        self._told[:, 0] = numbers
        _, mean = self.exchange(self._told, self._number, own=False, share=self.shares)
        return mean[0]

    def matrix(self):
        """H, (d, d), until the next call."""
        return self._triangle.unfold(self._mean_learned[np.newaxis], self._unfolded)[0]

    def inverse_times(self, vector, shift):
        """(H + shift I)^-1 times a vector (d,), with eigenvalues below mu raised to mu."""
        values, vectors = np.linalg.eigh(self.matrix())
        return vectors @ (vectors.T @ vector / np.maximum(values + shift, self._least))

    def estimate_error(self):
        return (self._learned, self._mean_learned) if self.shares else None


@methods.register("FedNL")
class FedNL(HessianLearning):
    """x -= M^-1 grad f(x), M made of the H learned before this round; see `HessianLearning`.

    `correction`: "project" raises the eigenvalues of H to mu at least (option 1 of the paper);
    "shift" takes H + l I, l the mean of |hess f_i(x) - H_i|_F, at one more number per worker
    (option 2): it is never below hess f(x). With the identity for C it is Newton's method one
    round late.
    """

    correction: Literal["project", "shift"] = option("project")

    def round(self, t):
        self.look()
        gradient = self.gradient(t)
        known = self.start(t)
        shift = self.mean(self.distances()) if self.correction == "shift" else 0.0
        self.advance(self.inverse_times(gradient, shift), gradient)
        if known:
            self._moved[()] = 0
        else:
            self.learn()

    def gradient(self, t):
        """grad f at x, (d,)."""
        return self.exchange(self.gradients(self.x), self.dense, own=False)[1]

    def advance(self, direction, gradient):
        """Move x against the direction M^-1 grad f(x)."""
        self.move(direction)

    def estimate_change(self):
        """None after a round whose Hessians were sent whole, since its last message was another."""
        return self.exchange.heard() * self._moved if self._moved else None


ARMIJO = 1e-4
"""A line search asks for this share of the decrease that the slope predicts."""

HALVINGS = 60
"""The most trial points of a line search."""


@methods.register("FedNL-LS")
class LineSearch(FedNL):
    """FedNL whose step is halved until f(x) falls by 1e-4 of what the slope predicts.

    The f_i at x and at each trial point take an exchange each, of 8 bytes per worker. A decrease
    that the round-off of f hides counts as one.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._losses, self._trial = setting.losses, np.zeros_like(self.x)
        self._slack = 4 * float(np.finfo(self.x.dtype).eps)

    def advance(self, direction, gradient):
        before = self.mean(self._losses(self.x))
        slope = float(self.stepsize * (gradient @ direction))
        allowed, share = before + self._slack * abs(before), 1.0
        for _ in range(HALVINGS):
            np.multiply(direction, share * self.stepsize, out=self._trial)
            np.subtract(self.x, self._trial, out=self._trial)
            if self.mean(self._losses(self._trial)) <= allowed - ARMIJO * share * slope:
                break
            share /= 2
        self.move(share * direction)


@methods.register("FedNL-BC")
class BidirectionalFedNL(FedNL):
    """FedNL whose server alone knows H and broadcasts C_down(Newton's step), by which x moves.

    `downlink` is C_down. Gradients are sent in round 0, and in the rounds that a shared coin of
    `probability` picks; in the others the server takes H (x - w) + grad f(w), w being the x of the
    last gradients. All know x. With the identity as `downlink` and probability = 1 it is FedNL.
    Needs topology = "server".
    """

    needs_server = True
    shares = False
    downlink: Choice = option()
    probability: float = option(1.0)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._downlink = setting.downlink("downlink", self.downlink)
        self._coin = setting.draws(Purpose.COIN)
        self._anchor = setting.state.array("w", self.x.size)
        self._anchored = setting.state.array("grad f(w)", self.x.size)  # known to the server alone

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("probability", options.probability)

    def gradient(self, t):
        if t == 0 or self._coin.at(t).random() < self.probability:
            whole = self.exchange(self.gradients(self.x), self.dense, own=False, share=False)
            self._anchor[:], self._anchored[:] = self.x, whole[1]
        return self.matrix() @ (self.x - self._anchor) + self._anchored

    def advance(self, direction, gradient):
        np.multiply(direction, self.stepsize, out=self._displacement)
        self.step(self.exchange.broadcast(self._displacement, self._downlink))


@methods.register("FedNL-PP")
class PartialFedNL(Participating, HessianLearning):
    """FedNL in which each worker takes part in a round with `probability`, else is silent.

    A worker that takes part, in round 0 every worker, renews H_i, l_i = |hess f_i(x) - H_i|_F and
    g_i = (H_i + l_i I) x - grad f_i(x). x = (H + l I)^-1 g, with the means over all workers. It
    sends C of the Hessian's change, and the changes of l_i and g_i whole.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        state, d = setting.state, self.x.size
        self._estimates, self._estimate = state.rows("g_i", d), state.array("g", d)
        self._lengths, self._length = state.rows("l_i", 1), state.array("l", 1)
        self._behind = np.zeros_like(self._estimates)

    def round(self, t):
        active = None if t == 0 else self.taking_part(t)
        self.look()
        if not self.start(t):
            self.learn(active)
        self._renew(active)
        point = self.inverse_times(self._estimate, self._length[0])
        self.move(self.x - point)

    def _renew(self, active):
        lengths = self.distances()[:, np.newaxis]
        self._told[:] = lengths - self._lengths
        self._add(self._told, self._number, active, self._lengths, self._length)
        for row, triangle, length in zip(self._behind, self._learned, lengths, strict=True):
            matrix = self._triangle.unfold(triangle[np.newaxis], self._unfolded)[0]
            row[:] = matrix @ self.x + length * self.x
        self._behind -= self.gradients(self.x)
        self._behind -= self._estimates
        self._add(self._behind, self.dense, active, self._estimates, self._estimate)

    def _add(self, news, compressor, active, each, whole):
        own, mean = self.exchange(news, compressor, active=active)
        each += own
        whole += mean

    def estimate_error(self):
        return self._estimates, self._estimate
