"""The calls that a ledger knows, and what each takes of a network of p ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2


@dataclass(frozen=True)
class Cost:
    """What calls take of a network, by the model; costs of calls one after the other add up.

    `steps`: messages that wait for each other. `wire`: bytes that a mean rank sends onto the wire.
    `load`: bytes through the busiest rank's link, one way.
    """

    steps: float = 0.0
    wire: float = 0.0
    load: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.steps + other.steps, self.wire + other.wire, self.load + other.load)

    def seconds(self, latency: float, bandwidth: float) -> float:
        """`latency`: seconds per message; `bandwidth`: bytes per second of every rank's link."""
        return self.steps * latency + self.load / bandwidth


@dataclass(frozen=True)
class Call:
    """A call: its name in the ledger, and its cost on p ranks for a byte that each hands over.

    That is what long messages come to with the algorithms named below. Short ones and an MPI's
    other algorithms send more: see bench/audit.
    """

    op: str
    steps: Callable[[int], float]
    wire: Callable[[int], float]
    load: Callable[[int], float]

    def cost(self, nbytes: float, ranks: int) -> Cost:
        """The cost where a mean rank hands over `nbytes`."""
        each = self.wire(ranks), self.load(ranks)
        return Cost(self.steps(ranks), *(nbytes * factor for factor in each))


def _hops(p: int) -> int:
    """Steps of a tree."""
    return ceil(log2(p))


def _ring(p: int) -> float:
    return 2 * (p - 1) / p


ALLREDUCE = Call("Allreduce", lambda p: 2 * (p - 1), _ring, _ring)
"""A ring: reduce-scatter and allgather."""

ALLGATHER = Call("Allgatherv", lambda p: p - 1, lambda p: p - 1, lambda p: p - 1)
"""A ring: every block passes every other rank."""

GATHER = Call("Gatherv", lambda p: p - 1, lambda p: (p - 1) / p, lambda p: p - 1)
"""One after the other, to a single rank."""

BROADCAST = Call("Bcast", _hops, lambda p: (p - 1) / p, lambda p: min(p - 1, 1))
"""p - 1 copies, shared out over the ranks."""

SEND = Call("Send", lambda p: 1, lambda p: 1, lambda p: 1)

RECEIVE = Call("Recv", lambda p: 0, lambda p: 0, lambda p: 0)
"""The sender has it all."""

BARRIER = Call("Barrier", lambda p: 2 * _hops(p), lambda p: 0, lambda p: 0)
