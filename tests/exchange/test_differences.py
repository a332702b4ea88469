"""A difference that is never formed gives what the formed one gives."""

import numpy as np
import pytest

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock

SHAPE, WORKERS = (12, 9), 3
FUSED = {
    "powersgd": [{"rank": 2}, {"rank": 1, "basis": "fresh"}, {"rank": 5, "basis": "svd"}],
    "alternating": [{"rank": 2}],
    "sketch": [{"rank": 4, "scale": "unbiased"}],
}
CASES = [(name, options) for name, many in FUSED.items() for options in many]


def through(name, options):
    exchange = Exchange(Door(Alone()), Placement(WORKERS, 1, 0), Clock(), np.dtype(float))
    compressor = compressors[name](SHAPE, float, workers=WORKERS, wire="float64", **options)
    exchange.prepare(compressor)
    return exchange, compressor


def vectors():
    draw = np.random.default_rng(4).standard_normal
    return draw((WORKERS, SHAPE[0] * SHAPE[1])), draw(SHAPE[0] * SHAPE[1])


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_it_is_added_as_the_formed_one_is(monkeypatch, name, options, kernels):
    if kernels == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("MPI_LOWRANK_KERNELS", kernels)
    lazy, formed = through(name, options), through(name, options)
    targets, g = vectors()
    h = g.copy()
    for round in range(3):
        lazy[0].round = formed[0].round = round
        room = np.full_like(targets, np.nan)
        own, added = lazy[0](Difference(targets, g, room), lazy[1], own=False, add_to=g)
        mean = formed[0](targets - h, formed[1], own=False)[1]
        h += mean
        assert own is None and added is g
        assert np.isnan(room).all() or (options.get("basis"), round) == ("svd", 0)
        if kernels == "numpy":
            assert (g == h).all()
        else:
            assert np.abs(g - h).max() <= 1e-13 * np.abs(h).max()
    assert lazy[0].uplink_bytes == formed[0].uplink_bytes > 0


def test_where_own_is_asked_for_it_is_formed_and_the_mean_still_added():
    exchange, compressor = through("sketch", {"rank": 2})
    targets, g = vectors()
    before = g.copy()
    own, added = exchange(Difference(targets, g, np.empty_like(targets)), compressor, add_to=g)
    assert added is g and np.allclose(g, before + own.mean(axis=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_difference_that_is_not_finite_is_not_sent(value):
    exchange, compressor = through("powersgd", {"rank": 2})
    targets, g = vectors()
    targets[1, 17] = value
    exchange(Difference(targets, g, np.empty_like(targets)), compressor, own=False, add_to=g)
    assert exchange.unsendable and np.isfinite(g).all()
