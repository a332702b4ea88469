"""A latency and bandwidth that were put in come out; data are compared."""

import numpy as np
import pytest

from mpi_lowrank.benchmarks.fit import fit
from mpi_lowrank.benchmarks.movements import Movement, handed
from mpi_lowrank.door import calls

SIZES = [4, 256, 16384, 1 << 20]


@pytest.mark.parametrize("ranks", [2, 3, 16])
@pytest.mark.parametrize("call", [c for c in calls.ALL if c.op not in ("Recv", "Barrier")])
def test_they_are_recovered_from_the_models_own_seconds(call, ranks):
    """The messages and loads of each call, written out."""
    hops = int(np.ceil(np.log2(ranks)))
    messages, load = {
        "Allreduce": (2 * hops, 2 * (ranks - 1) / ranks),
        "Allgatherv": (hops, ranks - 1),
        "Gatherv": (ranks - 1, ranks - 1),
        "Bcast": (hops, 1),
        "Send": (1, 1),
    }[call.op]
    seconds = [messages * 3e-6 + size * load / 5e9 for size in SIZES]
    found = fit(call, ranks, SIZES, seconds)
    assert found.latency == pytest.approx(3e-6, rel=1e-12)
    assert found.bandwidth == pytest.approx(5e9, rel=1e-12)
    assert found.residual < 1e-12


def test_a_barrier_has_a_latency_alone():
    found = fit(calls.BARRIER, 4, [0], [8e-6])
    assert found.latency == pytest.approx(2e-6) and found.bandwidth is None


def test_what_falls_with_the_size_has_no_negative_bandwidth():
    found = fit(calls.SEND, 2, [4, 1 << 20], [2e-6, 1e-6])
    assert found.bandwidth is None
    # The latency x least in (x/2 - 1)^2 + (x/1 - 1)^2 is 1.2; its errors are -0.4 and 0.2.
    assert found.latency == pytest.approx(1.2e-6) and found.residual == pytest.approx(np.sqrt(0.1))


def test_small_seconds_weigh_as_much_as_large_ones():
    """Absolute errors would leave the latency to chance: 1 us of 10 ms."""
    seconds = [1e-6, 1e-6, 1e-2, 1.1e-2]
    found = fit(calls.SEND, 2, [4, 8, 10**7, 10**7], seconds)
    assert found.latency == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize("moved, wrong", [(0, 0), (49, 4 * 49), (50, None)])
def test_data_that_do_not_come_are_found_though_the_array_held_them_before(moved, wrong):
    right, got = handed(0, 50), handed(0, 50)
    movement = Movement(calls.SEND, lambda: np.copyto(got[:moved], right[:moved]), got, right)
    assert movement.wrong_byte() == wrong


def test_what_ranks_hand_over_differs_and_its_sums_are_exact():
    rows = np.array([handed(rank, 1000) for rank in range(64)])
    assert len(np.unique(rows, axis=0)) == 64
    total = np.zeros(1000, np.float32)
    for row in rows[::-1]:
        total += row
    np.testing.assert_array_equal(total, rows.astype(np.float64).sum(axis=0))
