"""The contract of a method, and the theory's constants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mpi_lowrank.component import Component, Options
from mpi_lowrank.compressors.base import Compressor, Operator
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream
from mpi_lowrank.rounds.state import State

if TYPE_CHECKING:
    from mpi_lowrank.methods.guarantees import Guarantee
    from mpi_lowrank.problems.batch import Batch, Batches
    from mpi_lowrank.registry import Choice
    from mpi_lowrank.steps.base import Step


class Gradients(Protocol):
    """The local workers' gradients: see `mpi_lowrank.run.gradients.Gradients`."""

    def __call__(self, x: np.ndarray, batch: Batch | None = None) -> np.ndarray:
        """grad f_i at x, (d,) or (workers, d): (workers, d), overwritten by the next call."""


class Exchange(Protocol):
    """The seam to the other workers: see `mpi_lowrank.exchange.Exchange`.

    Each compressor has buffers of its own: what a call returns holds until the next one with the
    same compressor.
    """

    published_as: dict[Operator, Operator]
    """Whose bits papers count for a message through another compressor than the one they name."""

    def __call__(
        self,
        x: np.ndarray | Difference,
        compressor: Operator,
        weights: np.ndarray | None = None,
        active: np.ndarray | None = None,
        own: bool = True,
        share: bool = True,
        add_to: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """x (workers, d) to (own (workers, d), mean (d,)); the mean is added to `add_to`."""

    def broadcast(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What everybody decodes of rank 0's x (d,), (d,)."""

    def heard(self, compressor: Operator | None = None) -> np.ndarray | None:
        """What the last messages stand for, (workers, d); None after a reduction."""

    def preview(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What `own` of the next call with x would be, (workers, d); nothing is sent."""

    def everyone(self, compressor: Compressor, out: np.ndarray) -> None:
        """Decode all workers' last messages into `out` (all workers, d).

        Only on ranks that receive messages; see `tell`.
        """

    def flags(self, mine: np.ndarray) -> np.ndarray:
        """All workers' flags, (all workers,) bool, from the local ones, at a byte per worker."""

    def tell(self, x: np.ndarray) -> None:
        """Make a server's x (d,) everybody's; without a server all have it already."""


class Uplink(Protocol):
    """Makes a further compressor for what workers send."""

    def __call__(
        self, name: str, choice: Choice | None = None, shape: tuple[int, ...] | None = None
    ) -> Operator:
        """A compressor of `choice`, or one like the case's; its state is kept under `name`.

        A round's second message needs one of its own, because each has its own buffers and state.
        It is for vectors of the model's shape unless another `shape` is given.
        """


class Downlink(Protocol):
    """Makes a compressor for what the server tells."""

    def __call__(self, name: str, choice: Choice) -> Compressor:
        """A compressor of `choice`; its state is kept under `name`."""


@dataclass(frozen=True)
class Setting:
    """What a method works with.

    `compressor`: the case's. `dense`: sends whole vectors, gathered or Allreduced as the case's
    compressor is. `uplink` makes further ones; `downlink` makes, of (name, choice), the compressor
    of what the server tells.
    `state`: the store of arrays that later rounds read.
    `losses`: f_i of the local workers, (workers,) float64, at one x (d,) or a point per worker.
    `hessians`: their second derivatives there, (workers, d, d), overwritten by the next call, where
    the problem gives them: see `Method.needs_hessians`.
    `rounds`: how many the case may take.
    `x0`: the start (d,). `step`: makes the case's step rule for an x.
    `constants`: those of the problem; all 1 as long as there are no data.
    `batches`: makes the draws of a given number of samples per worker and round.
    `numbers`: the local workers among the `total`; `samples` (workers,): how many each one has.
    """

    gradients: Gradients
    losses: Callable[[np.ndarray], np.ndarray]
    hessians: Callable[[np.ndarray], np.ndarray]
    exchange: Exchange
    compressor: Operator
    dense: Operator
    uplink: Uplink
    downlink: Downlink
    state: State
    x0: np.ndarray
    stepsize: float
    step: Callable[[np.ndarray], Step]
    constants: Constants
    batches: Callable[[int], Batches]
    numbers: range
    total: int
    samples: np.ndarray
    rounds: int
    seed: int

    def draws(self, purpose: Purpose, worker: int = SHARED) -> Stream:
        """A stream of random numbers: one that all ranks share, or that of one worker."""
        return Stream(self.seed, purpose, worker)


@dataclass(frozen=True)
class Constants:
    """Smoothness: L of f, and L_i (n,) of the f_i; strong convexity: mu of each f_i, mu_f of f."""

    L: float
    L_i: np.ndarray
    mu: float = 0.0
    mu_f: float = 0.0

    @property
    def L_tilde(self) -> float:
        """The root mean square of the L_i."""
        return float(np.sqrt(np.mean(self.L_i**2)))

    @property
    def L_mean(self) -> float:
        """The mean of the L_i."""
        return float(np.mean(self.L_i))

    @property
    def L_max(self) -> float:
        """The largest of the L_i."""
        return float(np.max(self.L_i))


def check_share(option: str, share: float | None) -> None:
    """Raise OptionError for a share or a probability that is not above 0 and at most 1.

    None is an option that was not given.
    """
    if share is not None and not 0 < share <= 1:
        raise OptionError(option, share, "a number above 0, at most 1")


def xi(alpha: float) -> float:
    """sqrt(beta / theta) of a contractive compressor = (1 + sqrt(1 - alpha)) / alpha - 1.

    theta = 1 - sqrt(1 - alpha), beta = (1 - alpha) / theta (Richtarik, Sokolov, Fatkhullin 2021).
    """
    return (1 + sqrt(1 - alpha)) / alpha - 1


def ef21_stepsize(constants: Constants, alpha: float, linear: bool) -> float:
    """1 / (L + L_tilde xi(alpha)), theorem 1 of the EF21 paper.

    A linear compressor sees only the mean of the workers' vectors: L takes L_tilde's place.
    """
    return 1 / (constants.L + (constants.L if linear else constants.L_tilde) * xi(alpha))


def mean_variance(compressor: Operator, workers: int) -> float:
    """omega_mean of an unbiased C: E|mean C(x_i) - mean x_i|^2 <= omega_mean mean |x_i|^2.

    omega / n where each worker draws for itself. What all of them draw in common does not average
    out: omega.
    """
    assert compressor.omega is not None
    return compressor.omega if compressor.common else compressor.omega / workers


def spread(constants: Constants, compressor: Operator) -> float:
    """How far the gradients move that an exchange sees, per distance: L_tilde, L where C is linear.

    In the root mean square over workers; a linear C sees their mean alone.
    """
    return constants.L if compressor.linear else constants.L_tilde


def strong_convexity(constants: Constants, method: str, instead: str) -> float:
    """mu. Raises UserError, which says what to do `instead`, where the problem has none."""
    if constants.mu > 0:
        return constants.mu
    raise UserError(
        f"method {method}: rests on the strong convexity mu of f, which this problem does not tell "
        f"(with problem.regularizer = 'l2' it is lambda); {instead}"
    )


class Method(Component, ABC):
    """One round: local gradients at x, an exchange, a step. `x` is the same on every rank.

    Made with (setting, **options). After round t, x is x^{t+1}. What a later round reads is asked
    for by name in `__init__`, from `setting.state`; other arrays are overwritten before they are
    read, and nothing else changes. Class methods, which are called before a method is made, are
    given all `options`, by their names in Python.
    """

    needs_compressor = True
    """Whether a case must name a compressor; where not, messages are dense."""
    needs_server = False
    """Whether it works only over a server: topology = "server"."""
    needs_hessians = False
    """Whether it asks for second derivatives, which not every problem gives."""
    needs_unbiased = False
    """Whether its theory admits only unbiased compressors."""

    def __init__(self, setting: Setting, **options: Any):
        self.set_options(options)
        self.admit(setting.compressor)
        self.gradients, self.exchange = setting.gradients, setting.exchange
        self.compressor, self.dense = setting.compressor, setting.dense
        self.x = setting.state.array("x", setting.x0.shape)
        self.x[:] = setting.x0
        self.stepsize = self.x.dtype.type(setting.stepsize)
        self.step = setting.step(self.x)
        self._displacement = np.zeros_like(setting.x0)

    @abstractmethod
    def round(self, t: int) -> None:
        """Carry out round t."""

    def target(self, t: int) -> np.ndarray:
        """What the workers approximate in round t, (workers, d); overwritten by the next call."""
        return self.gradients(self.x)

    @classmethod
    def theory_stepsize(cls, constants: Constants, compressor: Operator, options: Options) -> float:
        """The largest stepsize of the theory for the plain step; unless overridden EF21's.

        DCGD and EF14 are run with it too. Raises UserError for a compressor without an alpha.
        """
        if compressor.alpha is None:
            raise UserError(
                f"compressor {compressor.name}: has no contraction constant alpha, on which the "
                "theory's stepsize rests; set stepsize, a number or one such as '8/L', instead"
            )
        return ef21_stepsize(constants, compressor.alpha, compressor.linear)

    def guarantee(self, constants: Constants) -> Guarantee | None:
        """How its errors go on, on which theorems rest; None where the compressor has no constant.

        A class speaks for itself alone: what is derived from it has no guarantee but its own.
        """
        return None

    def gaps(
        self, t: int, now: np.ndarray, goal: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]
    ) -> list[np.ndarray]:
        """Of what `guarantee` speaks, before round t: rows (workers, d), or vectors (d,).

        Of `now`, the local grad f_i(x) (workers, d), and `goal`, what g_i is to be, the same or
        grad f_i at the minimum; `mean` (collective) makes the mean over all workers. Where round 0
        sends grad f_i(x^0) whole, g_i is that already: the round would end in the same.
        """
        return []

    @classmethod
    def check(cls, options: Options) -> None:
        """Raise OptionError for an impossible option."""

    @classmethod
    def admit(cls, compressor: Operator) -> None:
        """Raise UserError for a compressor with which the method would not be what it is."""
        if cls.needs_unbiased and compressor.omega is None:
            raise UserError(
                f"method {cls.name}: compressor {compressor.name} is not unbiased, or does not say "
                "so; take natural, qsgd, natural_dithering, randk:scale=unbiased or another one of "
                "which `mpi-lowrank certify` tells an omega, or method EF21"
            )

    def estimate_error(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The local g_i (workers, d) and g (d,) of a method that keeps g = mean g_i; else None."""
        return None

    def gradient_estimates(self) -> np.ndarray | None:
        """The local g_i (workers, d) that follow grad f_i, or the g (d,) that stands for all."""
        return None

    def repair(self, mean: np.ndarray) -> None:
        """Make g the `mean` (d,) of the g_i that `estimate_error` gives: see `sync_every`.

        For those whose `estimate_error` gives the very array that is g.
        """
        state = self.estimate_error()
        assert state is not None  # else there is nothing to repair
        state[1][:] = mean

    def estimate_change(self) -> np.ndarray | None:
        """By how much the round has moved the local g_i, as all others know it, (workers, d).

        None where nobody can tell. By default it is their messages: g_i += c_i. In the first few
        rounds the g_i of `estimate_error` are compared with it.
        """
        return self.exchange.heard()

    def move(self, direction: np.ndarray) -> None:
        """Take the step rule's step along `direction` (d,); plain: x -= stepsize * direction."""
        self.step(np.multiply(direction, self.stepsize, out=self._displacement))
