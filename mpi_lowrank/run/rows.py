"""A row of the record: the model after some rounds, and the seconds they took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.run.evaluation import Measures
from mpi_lowrank.run.theory import Outcome
from mpi_lowrank.run.validity import astray

if TYPE_CHECKING:
    from mpi_lowrank.run.assembly import Assembly


@dataclass(frozen=True)
class Row:
    """A row of the record; the same on every rank."""

    done: int
    """Rounds that are over."""
    measures: Measures
    seconds: float
    """What the method took, on the slowest rank."""
    lost: bool
    """Whether a rank had an x that is not finite, or a vector that cannot be sent."""
    theory: Outcome | None = None
    """Where the case asks for it."""

    def columns(self) -> dict[str, float]:
        """What was measured, as the record has it."""
        return self.measures.columns() | (self.theory.columns() if self.theory else {})


class Measurement:
    """Measures the model of a case."""

    def __init__(self, made: Assembly):
        self._made, self._worst = made, np.zeros(2)

    def __call__(self, done: int) -> Row:
        """Collective: the row after `done` rounds."""
        made = self._made
        measures = made.evaluate(made.method.step.model, done)
        lost = made.exchange.unsendable or astray(made.method.x)
        mine = np.array([made.clock.total(), lost])
        made.door.maximum(mine, self._worst, "evaluation")
        seconds, lost = float(self._worst[0]), bool(self._worst[1])
        return Row(done, measures, seconds, lost, self._theory(measures, done))

    def whole(self, row: Row) -> Row:
        """Collective: the row with loss and accuracy, as a case's last row has them."""
        made = self._made
        measures = made.evaluate(made.method.step.model, row.done, last=True)
        return replace(row, measures=measures, theory=self._theory(measures, row.done))

    def _theory(self, measures: Measures, done: int) -> Outcome | None:
        theory = self._made.theory
        return theory(measures, done) if theory else None
