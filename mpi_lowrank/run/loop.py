"""The only loop over rounds, and what its observers are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mpi_lowrank.run.rows import Measurement, Row

if TYPE_CHECKING:
    from mpi_lowrank.run.assembly import Assembly

Status = Literal["finished", "diverged", "stopped", "interrupted"]


@dataclass
class Verdict:
    """How a case ended. Observers add to both lists."""

    status: Status
    reasons: list[str] = field(default_factory=list)
    """Why its results are not valid."""
    timing: list[str] = field(default_factory=list)
    """Why its seconds are not to be trusted."""


class Observer:
    """What watches a case. Observers are told one after the other, in the same order on all ranks.

    So an observer may communicate. Methods that its class does not define are not called.
    """

    def round_begun(self, t: int) -> None:
        """Round t is about to begin."""

    def round_done(self, done: int) -> None:
        """`done` rounds are over."""

    def asks(self, done: int) -> bool:
        """Whether it wants a row of the record after `done` rounds; the same on all ranks.

        Called after `round_done`. It changes nothing, and is called again where a case goes on.
        """
        return False

    def ends(self, row: Row) -> Status | None:
        """How the case ends with this row; None if it does not. The first observer decides.

        It may be asked twice about a row, because the last row is measured again, whole.
        """

    def row_measured(self, row: Row) -> None:
        """The model was measured, outside the method's clock."""

    def put_away(self) -> None:
        """A checkpoint is about to be taken: write what it must hold into the case's notes."""

    def case_ended(self, verdict: Verdict) -> None:
        """The case has ended: add reasons to its `verdict`."""


def run_rounds(made: Assembly, observers: Sequence[Observer], start: int = 0) -> Verdict:
    """Carry out rounds until an observer says that the case ends. Collective.

    The checkpoint of a case that goes on after `start` rounds was taken after observers were told
    that these rounds are over, and before they were asked for a row: so they are asked now.
    """
    method, clock, exchange, door = made.method, made.clock, made.exchange, made.door
    repair = made.repair
    round_begun, round_done = (told(observers, event) for event in ("round_begun", "round_done"))
    asks = told(observers, "asks")
    row = _RowMeasured(made, observers)
    t, status = start, None
    door.round = start - 1
    if start == 0 or any(ask(start) for ask in asks):
        status = row(start)
    while status is None:
        exchange.round = door.round = t
        for tell in round_begun:
            tell(t)
        clock.resume()
        if repair:
            repair(t)
        method.round(t)
        clock.pause()
        t += 1
        for tell in round_done:
            tell(t)
        if any(ask(t) for ask in asks):
            status = row(t)
    verdict = Verdict(status)
    for tell in told(observers, "case_ended"):
        tell(verdict)
    return verdict


def told(observers: Sequence[Observer], event: str) -> list[Callable]:
    """The methods `event` of the observers that define it."""
    plain = getattr(Observer, event)
    return [getattr(o, event) for o in observers if getattr(type(o), event) is not plain]


class _RowMeasured:
    """Measures a row and tells the observers; returns how the case ends with it, if it does."""

    def __init__(self, made: Assembly, observers: Sequence[Observer]):
        self._clock, self._measure = made.clock, Measurement(made)
        self._ends, self._told = told(observers, "ends"), told(observers, "row_measured")

    def __call__(self, done: int) -> Status | None:
        with self._clock.evaluation():
            row = self._measure(done)
            if not row.measures.whole and self._ending(row):
                row = self._measure.whole(row)
            for tell in self._told:
                tell(row)
            return self._ending(row)

    def _ending(self, row: Row) -> Status | None:
        return next(filter(None, (ends(row) for ends in self._ends)), None)
