"""What crosses a rank boundary, counted: a transport carries it, the `Door` counts it. No MPI here.

A transport has buffer calls and nothing else. `Alone` is one process with any number of workers;
`mpi_lowrank.comm.mpi.MpiTransport` is MPI's. What changes how arrays travel, such as a throttle,
wraps a transport and is a transport too: the door above it times and counts what really happened.
"""

from mpi_lowrank.door.door import LIMIT, Door
from mpi_lowrank.door.transport import Alone, Transport

__all__ = ["LIMIT", "Alone", "Door", "Transport"]
