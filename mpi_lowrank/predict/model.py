"""The time of a round: seconds of its kernels as a record has them, and the model of its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import numpy as np

from mpi_lowrank.door import calls
from mpi_lowrank.door.calls import Call, Cost
from mpi_lowrank.door.network import Network
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Case, ledgers
from mpi_lowrank.record.costs import of_rounds

GATHERED = (calls.ALLGATHER.op, calls.GATHER.op)
"""What every worker has a message of its own in; other calls have one buffer per rank."""


class Traffic(NamedTuple):
    """Calls of one kind in a round: how many per rank, and the bytes that each rank hands over.

    With one worker per rank: a worker's share where messages are gathered.
    """

    call: Call
    times: float
    nbytes: float

    def cost(self, ranks: int) -> Cost:
        cost = self.call.cost(self.nbytes, ranks)
        return Cost(self.times * self.call.steps(ranks), cost.wire, cost.load)


class Measured(NamedTuple):
    """A mean round of a recorded case: seconds of one worker's kernels, and what travels.

    `each`: of gradient, compressor and update. `decode`: per message where `gathered`, else of
    all coefficients at once.
    """

    each: float
    decode: float
    gathered: bool
    traffic: tuple[Traffic, ...]

    def fixed(self, ranks: int) -> float:
        """Seconds of a round on `ranks` ranks with a worker each, were the network infinite."""
        return self.each + self.decode * (ranks if self.gathered else 1)

    def cost(self, ranks: int) -> Cost:
        """What a round's calls cost on so many ranks."""
        return sum((traffic.cost(ranks) for traffic in self.traffic), Cost())

    def seconds(self, network: Network, ranks: int) -> float:
        """A round on `ranks` ranks with a worker each: kernels, and then the wire."""
        return self.fixed(ranks) + self.cost(ranks).seconds(network.latency, network.bandwidth)


Rounds = Mapping[Case, Measured]
"""The mean rounds of cases whose records tell of them."""


def measured(case: Case) -> Measured:
    """What its record tells of the case's rounds. Raises UserError where it tells nothing."""
    found = rounds_of([case])
    if not found:
        raise UserError(f"{case.path}: {case.label}: no round, phases or ledger to predict from")
    return found[case]


def rounds_of(cases: Sequence[Case]) -> Rounds:
    """What their records tell of the cases' rounds; left out are those of which they do not."""
    told = zip(cases, ledgers(cases), strict=True)
    return {case: found for case, ledger in told if (found := _measured(case, ledger))}


def _measured(case: Case, ledger: np.ndarray) -> Measured | None:
    rounds, phases = _rounds(case), case.phases
    if not rounds or not len(phases) or not len(ledger):
        return None
    ranks, workers = len(phases), int(case.attributes["workers"])
    local = workers / ranks
    mean = {name: phases[name].mean() / rounds for name in ("gradient", "compress", "update")}
    own = of_rounds(ledger)
    traffic = tuple(
        _traffic(call, own[own["op"] == call.op.encode()], rounds, ranks, workers)
        for call in calls.ALL
        if np.any(own["op"] == call.op.encode())
    )
    gathered = any(part.call.op in GATHERED for part in traffic)
    decode = phases["decode"].max() / rounds / (workers if gathered else 1)
    each = (mean["gradient"] + mean["compress"]) / local + mean["update"]
    return Measured(float(each), float(decode), gathered, traffic)


def mean_of(models: Sequence[Measured]) -> Measured:
    """The mean round of cases that differ in their seed."""
    share = 1 / len(models)
    traffic = [
        Traffic(part.call, share * part.times, share * part.nbytes)
        for model in models
        for part in model.traffic
    ]
    each, decode = (share * sum(seconds) for seconds in zip(*(m[:2] for m in models), strict=True))
    return Measured(each, decode, models[0].gathered, tuple(traffic))


def _rounds(case: Case) -> int:
    return int(case["round"][-1]) if len(case) else 0


def _traffic(call: Call, rows: np.ndarray, rounds: int, ranks: int, workers: int) -> Traffic:
    senders = workers if call.op in GATHERED else ranks
    count, nbytes = int(rows["calls"].sum()), int(rows["bytes"].sum())
    return Traffic(call, count / ranks / rounds, nbytes / senders / rounds)


class Pays(NamedTuple):
    """The bandwidths, bytes per second, between which a case is faster than another."""

    low: float
    high: float


def pays(
    case: Measured, other: Measured, rounds: tuple[float, float], latency: float, ranks: int
) -> Pays | None:
    """Where so many `rounds` of the case take less time than those of the other; None: nowhere.

    Time is linear in the inverse of the bandwidth, so there is one break-even point at most.
    """
    if rounds[0] == inf:
        return None
    at_once, per_byte = _saved(case, other, rounds, latency, ranks)
    if at_once <= 0 and per_byte <= 0:
        return None
    if at_once >= 0 and per_byte >= 0:
        return Pays(0.0, inf)
    even = -per_byte / at_once
    return Pays(0.0, even) if per_byte > 0 else Pays(even, inf)


def _saved(
    case: Measured, other: Measured, rounds: tuple[float, float], latency: float, ranks: int
) -> tuple[float, float]:
    """The seconds that the case saves on an infinite bandwidth, and those per inverse bandwidth."""
    fixed, load = [], []
    for one, times in zip((case, other), rounds, strict=True):
        cost = one.cost(ranks)
        fixed.append(times * (one.fixed(ranks) + cost.steps * latency))
        load.append(times * cost.load)
    return fixed[1] - fixed[0], load[1] - load[0]
