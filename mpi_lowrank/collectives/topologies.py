"""How messages travel: to everybody, or to a server and back."""

from collections.abc import Sequence

import numpy as np

from mpi_lowrank.collectives import collectives
from mpi_lowrank.collectives.base import Topology
from mpi_lowrank.door import calls
from mpi_lowrank.door.calls import Cost


@collectives.register("allgather")
class Allgather(Topology):
    """A topology: every rank receives all messages and decodes them itself."""

    def move(
        self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int], purpose: str
    ) -> None:
        assert whole is not None  # every rank receives
        self.door.allgather(mine, whole, counts, purpose)

    def handed(self, counts: Sequence[int]) -> int:
        return self.door.counted_in_allgather(counts)

    @classmethod
    def downlink(cls, sent: int, told: int, workers: int) -> float:
        """All messages but its own."""
        return sent * (workers - 1) / workers

    @classmethod
    def cost(cls, message: float, told: int, workers: int, ranks: int) -> Cost:
        return calls.ALLGATHER.cost(message * workers / ranks, ranks)


@collectives.register("server")
class Server(Topology):
    """A topology: rank 0 gathers and decodes the messages, and broadcasts their mean."""

    server = True

    def move(
        self, mine: np.ndarray, whole: np.ndarray | None, counts: Sequence[int], purpose: str
    ) -> None:
        self.door.gather(mine, whole, counts, purpose)

    def move_varying(
        self,
        mine: np.ndarray,
        whole: np.ndarray | None,
        counts: Sequence[int],
        most: int,
        purpose: str,
    ) -> None:
        self.door.gather(mine, whole, counts, purpose, most)

    def handed(self, counts: Sequence[int]) -> int:
        return self.door.counted_in_gather(counts)

    def handed_varying(self, counts: Sequence[int], most: int) -> int:
        return self.door.counted_in_gather(counts, most)

    @classmethod
    def downlink(cls, sent: int, told: int, workers: int) -> int:
        """The mean."""
        return told

    @classmethod
    def cost(cls, message: float, told: int, workers: int, ranks: int) -> Cost:
        gather = calls.GATHER.cost(message * workers / ranks, ranks)
        return gather + calls.BROADCAST.cost(told, ranks) if told else gather
