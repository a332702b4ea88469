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
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream
from mpi_lowrank.rounds.state import State

if TYPE_CHECKING:
    from mpi_lowrank.problems.batch import Batch, Batches
    from mpi_lowrank.registry import Choice
    from mpi_lowrank.steps.base import Step


class Gradients(Protocol):
    """The local workers' gradients: see `mpi_lowrank.run.gradients.Gradients`."""

    def __call__(self, x: np.ndarray, batch: Batch | None = None) -> np.ndarray:
        """x (d,), or (workers, d), to (workers, d), which is overwritten by the next call."""


class Exchange(Protocol):
    """The seam to the other workers: see `mpi_lowrank.exchange.Exchange`.

    Each compressor has buffers of its own: what a call returns holds until the next one with the
    same compressor.
    """

    def __call__(
        self,
        x: np.ndarray,
        compressor: Operator,
        weights: np.ndarray | None = None,
        active: np.ndarray | None = None,
        own: bool = True,
        share: bool = True,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """x (workers, d) to (own (workers, d), mean (d,))."""

    def broadcast(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """Rank 0's x (d,) to what everybody decodes."""

    def heard(self, compressor: Operator | None = None) -> np.ndarray | None:
        """What the last messages stand for, (workers, d); None after a reduction."""

    def preview(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What `own` of the next call with x would be, (workers, d); nothing is sent."""

    def everyone(self, compressor: Compressor, out: np.ndarray) -> None:
        """Write what all workers' last messages stand for into `out` (all workers, d).

        Only where messages are received; see `tell`.
        """

    def flags(self, mine: np.ndarray) -> np.ndarray:
        """Local workers' flags (workers,) bool to everybody's, at a byte per worker."""

    def tell(self, x: np.ndarray) -> None:
        """Make a server's x (d,) everybody's; without a server all have it already."""


class Uplink(Protocol):
    """Makes one more compressor for what workers send."""

    def __call__(
        self, name: str, choice: Choice | None = None, shape: tuple[int, ...] | None = None
    ) -> Operator:
        """That of `choice`, or the case's own once more; what it remembers goes by `name`.

        A round's second message goes through a second one: it has buffers and memory of its own.
        It is for vectors of the model, or of another `shape`.
        """


@dataclass(frozen=True)
class Setting:
    """What a method works with.

    `compressor` is the case's; `dense` sends whole vectors the way it sends its own (gathered or
    Allreduced); `uplink` makes more of them, `downlink` the compressor of (name, choice) for what
    the server tells.
    `state`: where what survives a round is asked for, by name.
    `losses`: f_i of the local workers, (workers,) float64, at one x (d,) or a point per worker.
    `hessians`: their second derivatives there, (workers, d, d), overwritten by the next call, where
    the problem gives them: see `Method.needs_hessians`.
    `rounds`: how many the case may take.
    `x0`: a start (d,). `step`: makes the case's step rule for an x.
    `constants`: those of the problem; before there are data they are all 1.
    `batches`: makes draws of so many samples a worker and round.
    `numbers`: the local workers among the `total`; `samples` (workers,): how many each one has.
    """

    gradients: Gradients
    losses: Callable[[np.ndarray], np.ndarray]
    hessians: Callable[[np.ndarray], np.ndarray]
    exchange: Exchange
    compressor: Operator
    dense: Operator
    uplink: Uplink
    downlink: Callable[[str, Choice], Compressor]
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
        """Random numbers by round: all ranks' in common, or those of one worker."""
        return Stream(self.seed, purpose, worker)


@dataclass(frozen=True)
class Constants:
    """Smoothness: L of f, and L_i (n,) of the f_i; and mu, the strong convexity of each f_i."""

    L: float
    L_i: np.ndarray
    mu: float = 0.0

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


def strong_convexity(constants: Constants, method: str, instead: str) -> float:
    """mu. Raises UserError where the problem does not tell it, with what to do `instead`."""
    if constants.mu > 0:
        return constants.mu
    raise UserError(
        f"method {method}: rests on the strong convexity mu of f, which this problem does not tell "
        f"(with problem.regularizer = 'l2' it is lambda); {instead}"
    )


class Method(Component, ABC):
    """One round: local gradients at x, an exchange, a step. `x` is the same on every rank.

    Made with (setting, **options). After round t x is x^{t+1}. What a later round reads is asked
    for by name in `__init__`, from `setting.state`; other arrays are overwritten before they are
    read, and nothing else changes. Questions that a class answers before a method is made are given
    all `options`, by their names in Python.
    """

    needs_compressor = True
    """Whether a case must name a compressor; where not, messages are dense."""
    needs_server = False
    """Whether it works only where a server talks to the workers."""
    needs_hessians = False
    """Whether it asks for second derivatives, which not every problem gives."""
    needs_unbiased = False
    """Whether its theory admits unbiased compressors alone."""

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
        """What the workers tell of in round t, (workers, d); overwritten by the next call."""
        return self.gradients(self.x)

    @classmethod
    def theory_stepsize(cls, constants: Constants, compressor: Operator, options: Options) -> float:
        """EF21's, with which DCGD and EF14 are run as well, for the plain step.

        Raises UserError without an alpha.
        """
        if compressor.alpha is None:
            raise UserError(
                f"compressor {compressor.name}: has no contraction constant alpha, on which the "
                "theory's stepsize rests; set stepsize, a number or one such as '8/L', instead"
            )
        return ef21_stepsize(constants, compressor.alpha, compressor.linear)

    @classmethod
    def check(cls, options: Options) -> None:
        """Raise OptionError for an impossible option."""

    @classmethod
    def admit(cls, compressor: Operator) -> None:
        """Raise UserError for a compressor with which the method is another one, or none."""
        if cls.needs_unbiased and compressor.omega is None:
            raise UserError(
                f"method {cls.name}: compressor {compressor.name} is not unbiased, or does not say "
                "so; take natural, qsgd, natural_dithering, randk:scale=unbiased or another one of "
                "which `mpi-lowrank certify` tells an omega, or method EF21"
            )

    def estimate_error(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Methods that keep g = mean g_i: the local g_i (workers, d) and g (d,), else None."""
        return None

    def estimate_change(self) -> np.ndarray | None:
        """What the round has moved the local g_i by, (workers, d), from what all others know of it.

        None where nobody can tell. By default their messages: g_i += c_i. In the first few rounds
        the g_i of `estimate_error` are held against it.
        """
        return self.exchange.heard()

    def move(self, direction: np.ndarray) -> None:
        """Take the step rule's step: x -= stepsize * direction, if it is the plain one."""
        self.step(np.multiply(direction, self.stepsize, out=self._displacement))
