"""Vectors of other lengths than the model's, each through a compressor of that length."""

import numpy as np
import pytest

from mpi_lowrank.config.options import read_spec
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.exchange.gathered import TOKEN
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.run.components import make_operator

WORKERS, LENGTHS = 3, (40, 7, 1600)

LOSSLESS = {
    "gathered": "identity:wire=float64",
    "varying": "bernoulli:p=1.0,wire=float64",
    "shared": "dense:wire=float64",
}


def rows(d):
    return np.random.default_rng(d).standard_normal((WORKERS, d))


def made(topology="allgather"):
    return Exchange(Door(Alone()), Placement(WORKERS, 1, 0), Clock(), np.dtype(float), topology)


def compressor(spec, d):
    return make_operator(read_spec(spec), (d,), "float64", WORKERS)


@pytest.mark.parametrize(
    ("kind", "topology"),
    [
        ("gathered", "allgather"),
        ("gathered", "server"),
        ("varying", "allgather"),
        ("varying", "server"),
        ("shared", "allgather"),
    ],
)
def test_one_exchange_moves_vectors_of_any_length(kind, topology):
    exchange, channels = made(topology), {d: compressor(LOSSLESS[kind], d) for d in LENGTHS}
    for d, channel in channels.items():
        exchange.prepare(channel, f"of {d}")
    exchange.warm_up()
    for exchange.round in range(2):
        for d, channel in channels.items():
            own, mean = exchange(rows(d), channel)
            np.testing.assert_array_equal(own, rows(d))
            np.testing.assert_allclose(mean, rows(d).mean(axis=0), rtol=0, atol=1e-15)
    numbers = 2 * 8 * sum(LENGTHS)
    lengths = 2 * 4 * len(LENGTHS) if channels[7].variable else 0
    assert exchange.uplink_bytes == pytest.approx(numbers + lengths)


def test_silent_workers_and_weights_are_those_of_every_length():
    exchange, weights = made(), np.array([0.5, 0.25, 0.25])
    active = np.array([True, False, True])
    for d in LENGTHS:
        channel = compressor(LOSSLESS["gathered"], d)
        exchange.prepare(channel, f"of {d}")
        own, mean = exchange(rows(d), channel, weights=weights, active=active)
        assert own.shape == (WORKERS, d) and not own[1].any()
        np.testing.assert_allclose(mean, (weights * active) @ rows(d), rtol=0, atol=1e-15)


def test_a_broadcast_tells_vectors_of_any_length():
    exchange = made("server")
    for d in LENGTHS:
        down = compressor(LOSSLESS["gathered"], d)
        exchange.prepare_broadcast(down, f"down {d}")
        np.testing.assert_array_equal(exchange.broadcast(rows(d)[0], down), rows(d)[0])


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_warming_up_costs_a_token_however_long_the_messages(topology):
    exchange = made(topology)
    for kind in ("gathered", "varying"):
        exchange.prepare(compressor(LOSSLESS[kind], 5000), kind)
    exchange.warm_up()
    assert set(exchange.door.ledger.rows()["bytes"]) == {TOKEN}
