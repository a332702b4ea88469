"""The contract of a step rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpi_lowrank.component import Component, Options, option
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.state import State


class Step(Component, ABC):
    """How x moves along the direction of any method: so momentum goes with every method.

    Made with (x, stepsize, state, shapes, **options). `x` (d,), where the method takes gradients,
    is the same on every rank and changed in place; it is the concatenation of blocks of these
    `shapes`. What a later round reads is asked for by name from `state`. Every rank takes the same
    step, so a rule communicates nothing.
    """

    decay: int | None = option(None)
    """Rounds in which gamma falls linearly to 0, as gamma (1 - t / decay); None: it is constant."""

    model: np.ndarray
    """What is evaluated, (d,): x itself, unless the rule takes gradients beside its model."""

    def __init__(
        self,
        x: np.ndarray,
        stepsize: float,
        state: State,
        shapes: Sequence[tuple[int, ...]],
        **options: Any,
    ):
        self.set_options(options)
        self.x, self.stepsize, self.model = x, stepsize, x
        self._taken = state.counter("steps") if self.decay else None

    @classmethod
    def check(cls, options: Options) -> None:
        """Raise OptionError for an impossible option."""
        if options.decay is not None and options.decay < 1:
            raise OptionError("decay", options.decay, "the number of rounds, from 1")

    def __call__(self, displacement: np.ndarray) -> None:
        """Take a round's step. `displacement` (d,) is stepsize * direction; it may be overwritten.

        EF14, whose messages contain the stepsize, hands over their mean.
        """
        left = 1.0
        if self.decay and self._taken is not None:
            left = max(0.0, 1 - self._taken.item() / self.decay)
            displacement *= left
            self._taken += 1
        self.move(displacement, left * self.stepsize)

    @abstractmethod
    def move(self, displacement: np.ndarray, gamma: float) -> None:
        """Move x. `displacement` (d,) is `gamma` times the method's direction; see `__call__`.

        The plain rule subtracts it from x.
        """

    def penalty(self, x: np.ndarray) -> float:
        """What is minimised besides f, at x (d,); recorded losses include it."""
        return 0.0

    def least_slope(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The shortest subgradient of f + penalty at x, (d,), where grad f(x) is `gradient` (d,).

        Its squared norm is recorded as `grad_norm_sq`.
        """
        return gradient
