import numpy as np
import pytest

from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.network import Network, read_bandwidth, told_bandwidth
from mpi_lowrank.door.throttle import Throttled
from mpi_lowrank.errors import OptionError

BANDWIDTH, LATENCY = 12.5e6, 50e-6


class Claims(Alone):
    """One process that says it is rank 0 of four, so that calls have a price."""

    size = 4


def test_the_delays_asked_for_are_the_model_s_closed_forms():
    slept = []
    network = Network.read("100mbit,50us")
    assert network == (BANDWIDTH, LATENCY)
    throttled = Throttled(Claims(), network, slept.append)
    door, mine, whole = Door(throttled), np.ones(250, np.float32), np.empty(250, np.float32)
    door.allgather(mine, whole, [250, 0, 0, 0], "uplink")
    door.gather(mine, whole, [250, 0, 0, 0], "uplink")
    door.broadcast(mine, "downlink")
    door.allreduce(mine, whole, "uplink")
    door.barrier("control")
    # In mean 250 bytes of four ranks each for the two gathers, 1000 for the others.
    steps = 2 + 3 + 2 + 4 + 4
    nbytes = 3 * 250 + 3 * 250 + 1000 + 1.5 * 1000
    expected = steps * LATENCY + nbytes / BANDWIDTH
    np.testing.assert_allclose(throttled.asked, expected, rtol=1e-12)
    # Nothing was slept: each call was asked to wait for what all before it had left.
    assert len(slept) == 5 and expected - slept[-1] < 0.1 * expected


def test_what_one_call_oversleeps_the_next_ones_need_not_wait(monkeypatch):
    clock, slept = [0.0], []

    def oversleep(seconds):
        slept.append(seconds)
        clock[0] += 3 * seconds

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    latency = 2.0**-10
    throttled = Throttled(Claims(), Network(1e9, latency), oversleep)
    for _ in range(9):
        throttled.barrier()  # four latencies each
    assert throttled.asked == 36 * latency and slept == [4 * latency] * 3


@pytest.mark.parametrize("text", ["", "100mbit", "0mbit,1us", "100mb,5us", "1gbit,5", "-1mbit,1us"])
def test_another_text_is_one_error(text):
    with pytest.raises(OptionError, match=r'throttle = .*such as "100mbit,50us"'):
        Network.read(text)


def test_bandwidths_are_told_in_the_largest_unit_that_fits():
    told = [told_bandwidth(read_bandwidth(t, "b")) for t in ("10mbit", "2.5gbit", "64kbit")]
    assert told == ["10 Mbit/s", "2.5 Gbit/s", "64 kbit/s"]
    assert str(Network(BANDWIDTH, LATENCY)) == "100 Mbit/s, 50 us"
