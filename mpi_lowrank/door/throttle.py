"""A transport as slow as a network that is not there: every call waits for the model's time."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from mpi_lowrank.door import calls
from mpi_lowrank.door.network import Network
from mpi_lowrank.door.transport import Operation, Transport


class Throttled:
    """A transport whose calls, once made, wait for as long as `Call.cost` says on `network`.

    Where ranks hand over different lengths, the mean counts; a rank that cannot know it takes its
    own. `sleep`: called with seconds, it waits at least so long.
    """

    def __init__(
        self, inner: Transport, network: Network, sleep: Callable[[float], None] = time.sleep
    ):
        self.rank, self.size = inner.rank, inner.size
        self._inner, self._network, self._sleep = inner, network, sleep
        self.asked = 0.0
        """Seconds of delay that all calls together were to have."""
        self._owed = 0.0

    def allgather(self, mine: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> None:
        self._inner.allgather(mine, whole, counts)
        self._wait(calls.ALLGATHER, whole.nbytes / self.size)

    def gather(self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int]) -> None:
        self._inner.gather(mine, whole, counts)
        known = whole if self.rank == 0 else None
        self._wait(calls.GATHER, mine.nbytes if known is None else known.nbytes / self.size)

    def broadcast(self, array: np.ndarray, root: int) -> None:
        self._inner.broadcast(array, root)
        self._wait(calls.BROADCAST, array.nbytes)

    def send(self, array: np.ndarray, to: int) -> None:
        self._inner.send(array, to)
        self._wait(calls.SEND, array.nbytes)

    def receive(self, array: np.ndarray, source: int) -> None:
        self._inner.receive(array, source)
        self._wait(calls.RECEIVE, array.nbytes)

    def allreduce(self, mine: np.ndarray, out: np.ndarray, operation: Operation) -> None:
        self._inner.allreduce(mine, out, operation)
        self._wait(calls.ALLREDUCE, mine.nbytes)

    def barrier(self) -> None:
        self._inner.barrier()
        self._wait(calls.BARRIER, 0)

    def _wait(self, call: calls.Call, nbytes: float) -> None:
        """Wait for the call's time, less what earlier calls overslept: the sum is the model's."""
        cost = call.cost(nbytes, self.size)
        seconds = cost.seconds(self._network.latency, self._network.bandwidth)
        self.asked += seconds
        self._owed += seconds
        if self._owed > 0:
            began = time.perf_counter()
            self._sleep(self._owed)
            self._owed -= time.perf_counter() - began
