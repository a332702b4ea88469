"""Messages that are too many for one call of MPI: every rank takes the same way, all is counted."""

import numpy as np
import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(30)]

D, LOCAL, ENOUGH = 60, 2, 2**31 - 1


def exchange_of(comm, limit, **collective):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.machine.clock import Clock

    placement = Placement(LOCAL * comm.size, comm.size, comm.rank)
    return Exchange(
        Door(MpiTransport(comm), limit), placement, Clock(), np.dtype(float), **collective
    )


def mean_of(comm, limit, spec, active=None, **collective):
    """The mean of a call, once the ledgers and the messages agree on its bytes on every rank."""
    from mpi_lowrank.config.options import read_spec
    from mpi_lowrank.run.components import make_operator
    from mpi_lowrank.run.validity import check_bytes

    exchange = exchange_of(comm, limit, **collective)
    compressor = make_operator(read_spec(spec), (D,), "float64", exchange.placement.total)
    exchange.prepare(compressor)
    exchange.warm_up()
    x = np.random.default_rng(5).standard_normal((LOCAL * comm.size, D))
    mine = x[exchange.placement.workers]
    _, mean = exchange(mine, compressor, active=active)
    exchange.flags(mine[:, 0] > 0)
    assert check_bytes(exchange.door, exchange) == []
    assert exchange.door.ledger.rows()["count"].max() <= limit
    return mean.copy()


@pytest.mark.parametrize("limit", [400, 150, 40, 5])
@pytest.mark.parametrize("spec", ["qsgd:levels=4,coding=elias", "topk:k=7"])
@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_messages_go_in_pieces(comm, topology, spec, limit):
    for active in None, np.arange(LOCAL * comm.size) % 2 == 0:
        mean = mean_of(comm, ENOUGH, spec, active, topology=topology)
        in_pieces = mean_of(comm, limit, spec, active, topology=topology)
        np.testing.assert_array_equal(in_pieces, mean)


@pytest.mark.parametrize("limit", [100, 5])
@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
def test_coefficients_go_in_pieces(comm, reduction, limit):
    means = [mean_of(comm, most, "dense", reduction=reduction) for most in (ENOUGH, limit)]
    np.testing.assert_allclose(*means, rtol=1e-6)
