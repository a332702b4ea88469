"""What a call of the exchange draws from."""

import numpy as np

from mpi_lowrank.compressors.base import Operator
from mpi_lowrank.exchange.seam import Seam
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream


class Draws:
    """A call's generators: one per local worker, and one that all workers share."""

    def __init__(self, seam: Seam, operator: Operator):
        self.seam, seed = seam, seam.seed
        workers = seam.placement.workers if operator.random else ()
        self._own = [Stream(seed, Purpose.COMPRESS, worker) for worker in workers]
        self._common = Stream(seed, Purpose.COMPRESS, SHARED)

    def own(self) -> list[np.random.Generator]:
        return [stream.at(*self.seam.call) for stream in self._own]

    def common(self) -> np.random.Generator:
        return self._common.at(*self.seam.call)
