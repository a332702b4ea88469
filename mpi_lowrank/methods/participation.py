"""Workers that are silent in some rounds."""

from __future__ import annotations

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.methods.base import Method, check_share
from mpi_lowrank.rounds.randomness import Purpose


class Participating(Method):
    """Each worker takes part in a round with `probability`, by a draw that all ranks share."""

    probability: float = option(0.5)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._draws, self._total = setting.draws(Purpose.PARTICIPATE), setting.total

    @classmethod
    def check(cls, options):
        super().check(options)
        check_share("probability", options.probability)

    def taking_part(self, t: int) -> np.ndarray:
        """Which workers take part in round t, (total,) bool."""
        return self._draws.at(t).random(self._total) < self.probability
