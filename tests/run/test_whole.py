"""At the start the exchange's mean of whole gradients is the gradient, or the case is not valid."""

from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.loop import run_rounds
from mpi_lowrank.run.stopping import Schedule
from mpi_lowrank.run.watch import Consistency, Whole

CASE = """
workers = 5
rounds = 3
stepsize = 0.01
dtype = "{dtype}"
problem = {{ name = "matrix", shape = [6, 4], bases = "rotated", heterogeneity = 1.0 }}
[[cases]]
method = "EF21"
compressor = {compressor}
topology = "{topology}"
"""

WIRES = ["float64", "float32", "float16", "bfloat16"]


def assembled(compressor, dtype="float64", topology="allgather"):
    text = CASE.format(compressor=compressor, dtype=dtype, topology=topology)
    (case,) = config.parse(text, Path("some.toml")).cases
    door = Door(Alone())
    return assemble(case, ground(case, door), door)


def verdict(made):
    return run_rounds(made, [Consistency(made), Whole(made), Schedule(made.case)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["identity", "dense"])
def test_round_off_is_allowed_whatever_the_wire(name, wire, dtype):
    made = assembled(f'{{ name = "{name}", wire = "{wire}" }}', dtype)
    assert verdict(made).reasons == []


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_a_rehearsal_leaves_no_trace(topology):
    ends = []
    for observe in True, False:
        made = assembled('"natural"', topology=topology)
        watch = [Whole(made)] if observe else []
        run_rounds(made, [Consistency(made), *watch, Schedule(made.case)])
        exchange, ledger = made.exchange, made.door.ledger
        traffic = [exchange.uplink_bytes, exchange.downlink_bytes, exchange.published_bits]
        traffic += [exchange.handed_bytes, ledger.nbytes("uplink"), ledger.nbytes("downlink")]
        ends.append([made.method.x.tobytes(), *traffic])
        assert 0 < made.clock.total() < 60
    assert ends[0] == ends[1]


def forget_a_worker(rows, weights):
    return rows[1:], weights[1:]


def count_one_twice(rows, weights):
    return rows[[0, 0, *range(2, len(rows))]], weights


def weigh_wrongly(rows, weights):
    return rows, weights * 0.9


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("slip", [forget_a_worker, count_one_twice, weigh_wrongly])
def test_a_mean_that_is_not_the_mean_is_noticed(slip, wire):
    made = assembled(f'{{ name = "identity", wire = "{wire}" }}')
    decode_sum = made.channels.dense.decode_sum
    made.channels.dense.decode_sum = lambda messages, weights, out: decode_sum(
        *slip(messages, weights), out
    )
    (reason,) = verdict(made).reasons
    assert reason.startswith("the mean of whole gradients is not the gradient: off by")


def test_a_start_that_cannot_be_sent_is_left_to_the_method():
    made = assembled('{ name = "identity", wire = "float16" }')
    made.method.x[:] = 1e9
    assert not verdict(made).reasons
    assert np.isfinite(made.method.x).all()
