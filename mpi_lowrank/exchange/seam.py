"""What the exchange lends to the channels that it is made of."""

from typing import Protocol

import numpy as np

from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.machine.clock import Clock


class Seam(Protocol):
    """Where the workers are, the ways between them, and where bytes are billed."""

    door: Door
    placement: Placement
    clock: Clock
    dtype: np.dtype
    seed: int
    topology: Topology
    reduction: type[Reduction]
    call: tuple[int, int]
    """The round of the call under way, and its number in the round: draws are keyed by both."""
    unsendable: bool
    """Whether this rank had a vector that was not finite or did not fit the wire's type."""

    def bill(self, uplink: float, handed: int, downlink: float) -> None:
        """Add bytes: sent per worker, handed over by all ranks for it, received per worker."""


class Channel(Protocol):
    """The buffers of one compressor, and a call of the exchange through them."""

    def exchange(
        self,
        x: np.ndarray,
        weights: np.ndarray | None,
        active: np.ndarray | None,
        own: bool,
        share: bool,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """As `Exchange.__call__`."""

    def heard(self) -> np.ndarray | None:
        """As `Exchange.heard`."""

    def warm_up(self) -> None:
        """Pass an empty message through, so that MPI opens its connections."""
