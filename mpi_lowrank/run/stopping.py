"""When a case is measured and when it ends."""

from collections.abc import Callable

from mpi_lowrank.comm.agreement import Agreement
from mpi_lowrank.config import Case
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.loop import Observer, Status
from mpi_lowrank.run.rows import Row
from mpi_lowrank.run.watch import Replicas

HOPELESS = 1e12
"""A case has diverged when its loss exceeds its first one by this factor."""


class Divergence(Observer):
    """A case ends, within a few rounds, if x is not finite, cannot be sent, or is hopeless."""

    def __init__(self, replicas: Replicas, notes: State | None = None):
        self._replicas = replicas
        self._first = (notes or State(0, float)).array("first loss")

    def asks(self, done: int) -> bool:
        return self._replicas.astray

    def ends(self, row: Row) -> Status | None:
        measures = row.measures
        if row.done == 0:
            self._first[()] = measures.loss
        hopeless = measures.loss > HOPELESS * (1 + self._first)
        return "diverged" if hopeless or row.lost or not measures.finite else None


class Targets(Observer):
    """A case ends at the first row that reaches one of its targets."""

    def __init__(self, case: Case):
        self._targets = case.stop

    def ends(self, row: Row) -> Status | None:
        reached = (row.measures.reaches(metric, v) for metric, v in self._targets.items())
        return "finished" if any(reached) else None


class Schedule(Observer):
    """A case is measured every `evaluate_every` rounds, and ends with its last round."""

    def __init__(self, case: Case):
        self._rounds, self._every = case.rounds, case.evaluate_every

    def asks(self, done: int) -> bool:
        return done % self._every == 0 or done == self._rounds

    def ends(self, row: Row) -> Status | None:
        return "finished" if row.done == self._rounds else None


class TimeLimit(Observer):
    """A case ends, within half a second or so, when its seconds are over; pauses do not count."""

    def __init__(self, limit: float, agreement: Agreement, notes: State):
        self._limit, self._agreement = limit, agreement
        self._spent, self._noted = notes.array("spent"), 0.0

    def put_away(self) -> None:
        self._spent[()], self._noted = self._seconds(), self._agreement.seconds

    def asks(self, done: int) -> bool:
        return self._seconds() >= self._limit

    def ends(self, row: Row) -> Status | None:
        return "stopped" if self._seconds() >= self._limit else None

    def _seconds(self) -> float:
        return self._spent.item() + self._agreement.seconds - self._noted


Paced = Callable[[int, float, bool], None]
"""Told of an agreement: rounds done, seconds that all agree on, whether the case is to stop."""


class Signals(Observer):
    """A case ends once the ranks agree that one of them was asked to stop.

    Agreements take place a few times per second; `before` and `after` are called around each.
    """

    def __init__(self, agreement: Agreement, before: Callable[[], None], after: Paced):
        self._agreement, self._before, self._after = agreement, before, after
        self._asked = False

    def round_done(self, done: int) -> None:
        if self._agreement.due(done):
            self._before()
            self._asked = self._agreement.reach(done)
            self._after(done, self._agreement.seconds, self._asked)

    def asks(self, done: int) -> bool:
        return self._asked

    def row_measured(self, row: Row) -> None:
        if row.done == 0:
            self.round_done(0)

    def ends(self, row: Row) -> Status | None:
        return "interrupted" if self._asked else None
