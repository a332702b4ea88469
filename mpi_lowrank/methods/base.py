"""The contract of a method, and the theory's constants."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.errors import UserError

Gradients = Callable[[np.ndarray], np.ndarray]
"""x (d,) to the local workers' gradients (workers, d); overwritten by the next call."""

Exchange = Callable[[np.ndarray, Compressor], tuple[np.ndarray, np.ndarray]]
"""x (workers, d) to (own, mean): see mpi_lowrank.comm."""


@dataclass(frozen=True)
class Constants:
    """Smoothness: L of f, and L_i (n,) of the f_i."""

    L: float
    L_i: np.ndarray

    @property
    def L_tilde(self) -> float:
        """The root mean square of the L_i."""
        return float(np.sqrt(np.mean(self.L_i**2)))


def xi(alpha: float) -> float:
    """sqrt(beta / theta) of a contractive compressor = (1 + sqrt(1 - alpha)) / alpha - 1.

    theta = 1 - sqrt(1 - alpha), beta = (1 - alpha) / theta (Richtarik, Sokolov, Fatkhullin 2021).
    """
    return (1 + sqrt(1 - alpha)) / alpha - 1


class Method(ABC):
    """One round: local gradients at x, an exchange, a step. `x` is the same on every rank.

    The options are the keyword-only arguments of `__init__` after these five. After round t the
    workers have sent t + 1 messages and x is x^{t+1}.
    """

    name: str
    needs_compressor = True
    """Whether a case must name a compressor; where not, messages are dense."""

    def __init__(
        self,
        gradients: Gradients,
        exchange: Exchange,
        compressor: Compressor,
        dense: Compressor,
        x0: np.ndarray,
        workers: int,
        stepsize: float,
    ):
        self.gradients, self.exchange = gradients, exchange
        self.compressor, self.dense = compressor, dense
        self.x, self.stepsize = x0.copy(), x0.dtype.type(stepsize)
        self._step = np.zeros_like(x0)
        self.setup(workers)

    def setup(self, workers: int) -> None:  # noqa: B027 (optional by design)
        """Allocate the state for `workers` local workers."""

    @abstractmethod
    def round(self, t: int) -> None:
        """Carry out round t."""

    @staticmethod
    def theory_stepsize(constants: Constants, compressor: Compressor) -> float:
        """EF21's 1 / (L + L_tilde sqrt(beta/theta)); DCGD and EF14 are run with it as well."""
        if compressor.alpha is None:
            raise UserError(
                f"compressor {compressor.name}: has no contraction constant alpha, on which the "
                'theory\'s stepsize rests; set stepsize instead, or scale = "contractive"'
            )
        return 1 / (constants.L + constants.L_tilde * xi(compressor.alpha))

    def estimate_error(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Methods that keep g = mean g_i: the local g_i (workers, d) and g (d,), else None."""
        return None

    def move(self, direction: np.ndarray) -> None:
        """x -= stepsize * direction."""
        self.x -= np.multiply(direction, self.stepsize, out=self._step)
