"""What calls cost on p ranks, in closed form."""

import pytest

from mpi_lowrank.door import calls
from mpi_lowrank.door.calls import Cost

EXPECTED = {  # of 1000 bytes a rank on 4 ranks: steps, bytes a mean rank sends, the busiest link
    calls.ALLREDUCE: (4, 1500, 1500),
    calls.ALLGATHER: (2, 3000, 3000),
    calls.GATHER: (3, 750, 3000),
    calls.BROADCAST: (2, 750, 1000),
    calls.SEND: (1, 1000, 1000),
    calls.RECEIVE: (0, 0, 0),
    calls.BARRIER: (4, 0, 0),
}


@pytest.mark.parametrize(("call", "expected"), EXPECTED.items())
def test_costs_of_a_call_on_four_ranks(call, expected):
    assert call.cost(1000, 4) == Cost(*expected)


@pytest.mark.parametrize("call", [c for c in EXPECTED if c is not calls.SEND], ids=lambda c: c.op)
def test_a_rank_alone_costs_nothing(call):
    assert call.cost(1000, 1) == Cost()


def test_costs_add_up_and_take_latency_and_bandwidth():
    both = calls.GATHER.cost(1000, 4) + calls.BROADCAST.cost(500, 4)
    assert both == Cost(5, 1125, 3500)
    assert both.seconds(latency=1e-3, bandwidth=1e6) == pytest.approx(0.005 + 0.0035)
