"""A drift repair: every so many rounds what all ranks keep is made the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.methods.base import Downlink, Method, Uplink
from mpi_lowrank.registry import Choice
from mpi_lowrank.rounds.state import State

if TYPE_CHECKING:
    from mpi_lowrank.exchange import Exchange


def whole(dtype: np.dtype) -> Choice:
    """What sends numbers of that type as they are."""
    return Choice("identity", {"wire": dtype.name})


def numbers(method: Method) -> int:
    """Those of a g_i; 0 where the method keeps none."""
    state = method.estimate_error()
    return 0 if state is None else state[1].size


class Repair:
    """Before every `every`-th round g becomes the mean of the g_i again, and x that of rank 0.

    Round-off lets g leave mean g_i a little in each round, and what it has lost does not come back.
    The g_i travel as the case's messages do, x from rank 0 to all; whole, in the state's type. That
    is traffic of the method, on its clock: uplink and downlink of that round. What g was off by is
    kept for the verdict, so that a repair hides no mistake.
    """

    def __init__(
        self,
        every: int,
        method: Method,
        exchange: Exchange,
        uplink: Uplink,
        downlink: Downlink,
        notes: State,
    ):
        self._every, self._method, self._exchange = every, method, exchange
        sent, size = whole(exchange.dtype), numbers(method)
        self._means = uplink("repaired g", sent, (size,)) if size else None
        self._told = downlink("repaired x", sent)
        self.mended = notes.within("repair").array("mended")
        """The largest |g - mean g_i| that was found."""

    def __call__(self, t: int) -> None:
        """Collective: what is due before round t, whose own draws do not change by it."""
        if t > 0 and t % self._every == 0:
            self._mend_estimate()
            self._method.x[:] = self._exchange.broadcast(self._method.x, self._told)
            self._exchange.round = t

    def _mend_estimate(self) -> None:
        state = self._method.estimate_error()
        if state is None or self._means is None:
            return
        estimates, estimate = state
        _, mean = self._exchange(estimates, self._means, own=False)
        self.mended[()] = max(self.mended[()], float(np.linalg.norm(mean - estimate)))
        self._method.repair(mean)
