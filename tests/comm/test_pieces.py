"""Messages that are too many for one call of MPI: every rank takes the same way."""

import numpy as np
import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(30)]

D, LOCAL = 60, 2


def mean_and_handed(comm, topology, limit, active):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.compressors import compressors
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.machine.clock import Clock

    placement, dtype = Placement(LOCAL * comm.size, comm.size, comm.rank), np.dtype(float)
    door = Door(MpiTransport(comm), limit)
    exchange = Exchange(door, placement, Clock(), dtype, topology)
    compressor = compressors["qsgd"]((D,), dtype, levels=4, coding="elias")
    exchange.prepare(compressor)
    exchange.warm_up()
    x = np.random.default_rng(5).standard_normal((LOCAL * comm.size, D))[placement.workers]
    _, mean = exchange(x, compressor, active=active)
    return mean.copy(), exchange.handed_bytes


@pytest.mark.parametrize("limit", [400, 40, 5])
@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_messages_of_varying_length_go_in_pieces(comm, topology, limit):
    for active in None, np.arange(LOCAL * comm.size) % 2 == 0:
        mean, handed = mean_and_handed(comm, topology, 2**31 - 1, active)
        in_pieces, handed_in_pieces = mean_and_handed(comm, topology, limit, active)
        np.testing.assert_array_equal(in_pieces, mean)
        assert handed == handed_in_pieces
