"""What a round costs and what is billed for it, predicted without MPI and met by the exchange."""

import numpy as np
import pytest

from mpi_lowrank.collectives import collectives, of_kind
from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.compressors import compressors
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.calls import Cost
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock

D, WORKERS = 60, 4


def test_the_kinds_of_collectives_are_the_two_keys_of_a_case():
    assert of_kind(Topology) == ["allgather", "server"] and of_kind(Reduction) == ["mpi", "ordered"]


def test_a_round_of_messages_costs_what_the_calls_below_it_cost():
    # 20 workers on 4 ranks, messages of 100 bytes, a mean of 480.
    assert collectives["allgather"].cost(100, 480, 20, 4) == Cost(2, 1500, 1500)
    assert collectives["server"].cost(100, 480, 20, 4) == Cost(5, 375 + 360, 1500 + 480)
    assert collectives["server"].cost(100, 0, 20, 4) == Cost(3, 375, 1500)


def test_a_mean_of_coefficients_costs_a_ring_of_sums_or_everybody_s():
    assert collectives["mpi"].cost(100, 20, 4) == Cost(4, 150, 150)
    assert collectives["ordered"].cost(100, 20, 4) == Cost(2, 1500, 1500)


def exchanged(compressor, **collective):
    """An exchange of one process after a round through the compressor."""
    door, placement = Door(Alone()), Placement(WORKERS, 1, 0)
    exchange = Exchange(door, placement, Clock(), np.float64, **collective)
    exchange.prepare(compressor)
    exchange(np.random.default_rng(0).standard_normal((WORKERS, D)), compressor)
    return exchange


@pytest.mark.parametrize("topology", of_kind(Topology))
def test_messages_are_billed_as_predicted(topology):
    compressor = compressors["topk"]((D,), np.dtype(float), k=7)
    exchange, way = exchanged(compressor, topology=topology), collectives[topology]
    sent, told = WORKERS * compressor.nbytes, 8 * D
    handed = exchange.topology.handed([sent])
    assert exchange.uplink_bytes == compressor.nbytes
    assert exchange.downlink_bytes == way.downlink(sent, told, WORKERS) > 0
    assert exchange.handed_bytes == exchange.door.ledger.nbytes("uplink") == handed


@pytest.mark.parametrize("reduction", of_kind(Reduction), ids="by {}".format)
def test_coefficients_are_billed_as_predicted(reduction):
    compressor = compressors["powersgd"]((D,), np.dtype(float), rank=1)
    exchange, way = exchanged(compressor, reduction=reduction), collectives[reduction]
    assert exchange.uplink_bytes == compressor.nbytes
    assert exchange.downlink_bytes == way.downlink(compressor.nbytes, WORKERS) > 0
    rows = np.zeros((WORKERS, compressor.nbytes), np.uint8)
    handed = way(exchange.door, exchange.placement, np.dtype(float)).handed(rows)
    assert exchange.handed_bytes == exchange.door.ledger.nbytes("uplink") == handed
