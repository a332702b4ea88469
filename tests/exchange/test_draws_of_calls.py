"""Several exchanges in a round, through one compressor or through several."""

import numpy as np
import pytest

from mpi_lowrank.config.options import read_spec
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.run.components import make_operator

WORKERS, D = 3, 40

SPECS = ["randk:k=5", "permk", "qsgd:levels=4", "sketch:rank=1", "shared_randk:k=4"]


def made(spec, workers=WORKERS):
    exchange = Exchange(Door(Alone()), Placement(workers, 1, 0), Clock(), np.dtype(float))
    compressor = make_operator(read_spec(spec), (D,), "float64", workers)
    exchange.prepare(compressor)
    return exchange, compressor


def rows():
    return np.random.default_rng(0).standard_normal((WORKERS, D))


@pytest.mark.parametrize("spec", SPECS)
def test_a_second_exchange_of_a_round_draws_other_numbers(spec):
    exchange, compressor = made(spec)
    means = []
    for exchange.round in (3, 4, 3):
        means += [exchange(rows(), compressor)[1].copy() for _ in range(2)]
    assert len({mean.tobytes() for mean in means[:4]}) == 4
    np.testing.assert_array_equal(means[:2], means[4:])  # a round may be done again


def test_two_compressors_of_a_round_do_not_share_their_draws():
    exchange, first = made("randk:k=5")
    second = make_operator(read_spec("randk:k=5"), (D,), "float64", WORKERS)
    exchange.prepare(second, "second")
    one, two = (exchange(np.ones((WORKERS, D)), c)[1].copy() for c in (first, second))
    assert (one != two).any()


def test_a_second_broadcast_of_a_round_draws_other_numbers():
    exchange, _ = made("randk:k=5")
    down = make_operator(read_spec("randk:k=5"), (D,), "float64", 1)
    exchange.prepare_broadcast(down)
    told = []
    for exchange.round in (3, 3):
        told += [exchange.broadcast(rows()[0], down).copy() for _ in range(2)]
    assert (told[0] != told[1]).any()
    np.testing.assert_array_equal(told[:2], told[2:])
