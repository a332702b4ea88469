"""The calls that a ledger knows, and what each one costs on a network of p ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2


@dataclass(frozen=True)
class Cost:
    """What calls cost, by a model. The costs of successive calls add up.

    `steps`: messages, each of which waits for the one before. `wire`: bytes that a rank sends onto
    the wire, the mean over ranks. `load`: bytes through the busiest rank's link, one way.
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
    """A kind of call: its name in the ledger, and its cost on p ranks where each hands over a byte.

    The costs are those of long messages under the algorithms named below. Short messages, and other
    algorithms that an MPI may choose, send more: see bench/audit.
    """

    op: str
    steps: Callable[[int], float]
    wire: Callable[[int], float]
    load: Callable[[int], float]

    def cost(self, nbytes: float, ranks: int) -> Cost:
        """The cost where the ranks hand over `nbytes` each, in the mean."""
        each = self.wire(ranks), self.load(ranks)
        return Cost(self.steps(ranks), *(nbytes * factor for factor in each))


def _hops(p: int) -> int:
    """Steps of a tree."""
    return ceil(log2(p))


def _ring(p: int) -> float:
    return 2 * (p - 1) / p


ALLREDUCE = Call("Allreduce", lambda p: 2 * _hops(p), _ring, _ring)
"""Reduce-scatter by halving, allgather by doubling: the bytes of a ring in fewer steps.

Thakur, Rabenseifner, Gropp: Optimization of collective communication operations in MPICH, 2005.
"""

ALLGATHER = Call("Allgatherv", _hops, lambda p: p - 1, lambda p: p - 1)
"""By doubling: every block gets to every other rank, and as many bytes as in a ring."""

GATHER = Call("Gatherv", lambda p: p - 1, lambda p: (p - 1) / p, lambda p: p - 1)
"""One after the other, to a single rank."""

BROADCAST = Call("Bcast", _hops, lambda p: (p - 1) / p, lambda p: min(p - 1, 1))
"""p - 1 copies, which all ranks share in sending."""

SEND = Call("Send", lambda p: 1, lambda p: 1, lambda p: 1)

RECEIVE = Call("Recv", lambda p: 0, lambda p: 0, lambda p: 0)
"""Counted at the sender."""

BARRIER = Call("Barrier", lambda p: 2 * _hops(p), lambda p: 0, lambda p: 0)

ALL = (ALLREDUCE, ALLGATHER, GATHER, BROADCAST, SEND, RECEIVE, BARRIER)
