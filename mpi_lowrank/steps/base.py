"""The contract of a step rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mpi_lowrank.component import Component, Options
from mpi_lowrank.rounds.state import State


class Step(Component, ABC):
    """How x moves, whatever method says where to: so momentum goes with each of them.

    Made with (x, stepsize, state, **options). `x` (d,), where the method takes gradients, is the
    same on every rank and changed in place. What a later round reads is asked for by name from
    `state`. Every rank takes the same step, so a rule communicates nothing.
    """

    model: np.ndarray
    """What is evaluated, (d,): x itself, unless the rule takes gradients beside its model."""

    def __init__(self, x: np.ndarray, stepsize: float, state: State, **options: Any):
        self.set_options(options)
        self.x, self.stepsize, self.model = x, stepsize, x

    @classmethod
    def check(cls, options: Options) -> None:
        """Raise OptionError for an impossible option."""

    @abstractmethod
    def __call__(self, displacement: np.ndarray) -> None:
        """Move x. `displacement` (d,) is gamma times the method's direction, for the rule's use.

        The plain rule subtracts it. A method that folds gamma into what it sends (EF14) hands over
        what the messages stand for.
        """
