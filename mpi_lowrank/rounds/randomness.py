"""Counter-based random numbers: the same for a key on any rank, in any order, after any restart."""

from enum import IntEnum

import numpy as np

SHARED = 2**64 - 1
"""The worker of draws that all workers have in common."""


class Purpose(IntEnum):
    """What a draw is for; draws of different purposes are independent."""

    COMPRESS = 1
    BROADCAST = 2
    PARTICIPATE = 3
    SAMPLE = 4
    COIN = 5


class Stream:
    """The draws of one worker for one purpose, addressable by round and by call within it.

    Philox (Salmon et al. 2011) is a function of a key, here (seed, purpose), and a counter, here
    (position, call, worker, round): streams of 2**64 numbers that never meet. The generator is made
    once and set to a round in about a microsecond.
    """

    def __init__(self, seed: int, purpose: Purpose, worker: int):
        self._philox = np.random.Philox(key=np.array([seed, purpose], dtype=np.uint64))
        self._generator = np.random.Generator(self._philox)
        self._start = self._philox.state
        self._start["state"]["counter"][2] = worker

    def at(self, round: int, call: int = 0) -> np.random.Generator:
        """The worker's generator at the start of that call; the next `at` reuses it."""
        counter = self._start["state"]["counter"]
        counter[1], counter[3] = call, round
        self._philox.state = self._start
        return self._generator
