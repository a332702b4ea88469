"""The search for the best step of a tuned case: which step is tried next, and when one is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from mpi_lowrank.config import Case, over_L
from mpi_lowrank.config.case import Tune
from mpi_lowrank.config.tune import units
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.record import Case as Recorded
from mpi_lowrank.record.costs import arrival, spent
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.loop import Observer, Status
from mpi_lowrank.run.rows import Row

FIRST = (0.25, 4.0)
"""Steps between these are tried whatever comes of them."""


class Outcome(NamedTuple):
    """How a case ended."""

    cost: float
    """What the target took; infinite if it was not reached."""
    nearest: float
    """How near to the target it came: less is nearer."""
    diverged: bool = False
    cut: bool = False
    """Whether it was stopped, perhaps by the limit of a search."""


NOTHING = Outcome(inf, inf)
"""That of a case which did not measure the metric: it failed before its first row."""


def outcome(case: Recorded, tune: Tune) -> Outcome:
    """How a recorded case ended."""
    metric, value = tune.goal
    status = case.attributes.get("status")
    if metric not in case.metrics or np.isnan(case[metric]).all():
        return NOTHING
    row, best = arrival(case, metric, value), case.metrics[metric].best(case[metric])
    cost = inf if row is None else float(spent(case, tune.by)[row])
    nearest = best if case.metrics[metric].falls else -best
    return Outcome(cost, nearest, status == "diverged", status == "stopped")


class Search:
    """The steps of one method; `cases` by their numbers differ in step and seed alone.

    `numbers` names the case to run next, `outcomes` is told of each one before it is asked again.
    """

    def __init__(self, cases: Mapping[int, Case]):
        self.outcomes: dict[int, Outcome] = {}
        sizes = {number: _size(case) for number, case in cases.items()}
        self._sizes = sorted(set(sizes.values()))
        self._seeds = [[n for n in cases if sizes[n] == size] for size in self._sizes]
        first = [size for size in sizes.values() if FIRST[0] <= size <= FIRST[1]]
        chosen = first or [next(iter(sizes.values()))]
        self._first = [self._sizes.index(size) for size in dict.fromkeys(chosen)]
        self._tried: list[int] = []
        self._timed = any(case.time_limit for case in cases.values())
        self.over = False

    def numbers(self) -> Iterator[int]:
        """The cases to run, one after the other; once it is `over`, seeds of the best step again.

        That is those which were cut: they took more than the best step before it, and arrive.
        """
        for step in self._first:
            yield from self._runs(step)
        while (further := self._beyond()) is not None:
            yield from self._runs(further)
        self.over = True
        if not self._timed:
            best = self._seeds[min(self._tried, key=self._standing)]
            yield from [number for number in best if self.outcomes[number].cut]

    @property
    def limit(self) -> float:
        """What a seed has spent once it cannot help its step to win any more.

        Of an even number of seeds the median is the mean of two, of which one may cost more than
        the best step does: at most twice as much.
        """
        if self.over:
            return inf
        seeds = len(self._seeds[self._tried[0]])
        return self._least() * (1 if seeds % 2 else 2)

    def _runs(self, step: int) -> Iterator[int]:
        self._tried.append(step)
        for number in self._seeds[step]:
            if self._can_win(step):
                yield number

    def _can_win(self, step: int) -> bool:
        """Whether the step would be the best one, were its other seeds to take nothing."""
        costs = [outcome.cost for outcome in self._told(step)]
        costs += [0.0] * (len(self._seeds[step]) - len(costs))
        return float(np.median(costs)) < self._least() or not isfinite(self._least())

    def _least(self) -> float:
        """The median cost of the best step so far, of those whose seeds have all run."""
        over = [s for s in self._tried if len(self._told(s)) == len(self._seeds[s])]
        return min((self._standing(step)[0] for step in over), default=inf)

    def _beyond(self) -> int | None:
        """The step beyond that end of the grid at which the best one lies; None if it does not."""
        low, high = min(self._tried), max(self._tried)
        best = min(self._tried, key=self._standing)
        if all(outcome.diverged for outcome in self.outcomes.values()):
            best = low
        if best == high and high + 1 < len(self._sizes):
            return high + 1
        return low - 1 if best == low and low > 0 else None

    def _standing(self, step: int) -> tuple[float, int, float]:
        """Less is better, as `report.best` has it: the median cost, who arrived, how near."""
        told = self._told(step)
        costs, nearest = [one.cost for one in told], [one.nearest for one in told]
        arrived = sum(map(isfinite, costs))
        return float(np.median(costs)), -arrived, float(np.median(nearest))

    def _told(self, step: int) -> list[Outcome]:
        return [self.outcomes[n] for n in self._seeds[step] if n in self.outcomes]


def _size(case: Case) -> float:
    """The step, in units of 1/L where it is a multiple of that."""
    step = over_L(case.stepsize) if isinstance(case.stepsize, str) else case.stepsize
    assert step is not None  # or the configuration was refused
    return step


class Tuning:
    """Which cases run and in which order: those given, but of tuned ones what the search asks for.

    `ended`: how a case ended, the same on all ranks.
    """

    limit = inf
    """The cost at which the case that runs now is cut."""
    again = False
    """Whether that case has run before, and takes its own place."""

    def __init__(self, cases: Mapping[int, Case], ended: Callable[[int], Outcome]):
        self._cases, self._ended = cases, ended

    def numbers(self) -> Iterator[int]:
        """The numbers of the cases; each has ended when the next one is asked for."""
        for unit in units(self._cases, self._cases):
            if self._cases[unit[0]].tune is None:
                yield from unit
                continue
            search = Search({number: self._cases[number] for number in unit})
            for number in search.numbers():
                self.limit, self.again = search.limit, search.over
                yield number
                search.outcomes[number] = self._ended(number)
            self.limit, self.again = inf, False


class Outspent(Observer):
    """A tuned case ends once it has spent the limit and not reached its target."""

    def __init__(self, tune: Tune, limit: float, exchange: Exchange, notes: State):
        self._tune, self._limit, self._exchange = tune, limit, exchange
        self._arrived = notes.array("arrived")

    def ends(self, row: Row) -> Status | None:
        if row.measures.reaches(*self._tune.goal):
            self._arrived[()] = 1
        over = not self._arrived and self._spent(row) >= self._limit
        return "stopped" if over else None

    def _spent(self, row: Row) -> float:
        uplink, downlink = self._exchange.uplink_bytes, self._exchange.downlink_bytes
        spent = {"rounds": row.done, "seconds": row.seconds, "uplink_bytes": uplink}
        return (spent | {"total_bytes": uplink + downlink})[self._tune.by]
