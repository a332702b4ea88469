"""One process with all workers goes through the same door, and is counted like any rank."""

import time

import numpy as np
import pytest

from mpi_lowrank.door import Alone, Door


@pytest.mark.parametrize("limit", [2**31 - 1, 7, 1])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_what_one_process_sends_comes_back_whole(limit, dtype):
    door, mine = Door(Alone(), limit), np.arange(20, dtype=dtype).reshape(4, 5)
    for move in (door.allgather, door.gather):
        whole = np.zeros(20, dtype)
        move(mine, whole, [20], "uplink")
        np.testing.assert_array_equal(whole, mine.ravel())
    for reduce in (door.allreduce, door.maximum):
        out = np.zeros((4, 5), dtype)
        reduce(mine, out, "uplink")
        np.testing.assert_array_equal(out, mine)
    kept = mine.copy()
    door.broadcast(kept, "downlink")
    np.testing.assert_array_equal(kept, mine)
    door.barrier("evaluation")
    rows = door.ledger.rows()
    assert rows["count"].max() <= limit and (rows["dtype"] == dtype.encode())[:-1].all()
    buffers = 5 if limit > 20 else 4  # a gather in pieces has nobody to receive them from
    assert (rows["modelled"] == 0).all() and rows["bytes"].sum() == buffers * mine.nbytes


def test_an_exact_sum_of_one_process_is_rounded_once():
    door, out = Door(Alone()), np.empty(1)
    door.exact_sum(np.array([[1e16], [1.0], [-1e16], [1.0]]), out, 4, "setup")
    assert out.tolist() == [2.0] and door.ledger.rows()["op"].tolist() == [b"Allreduce"] * 2


def test_one_process_has_nobody_to_send_to():
    for move in (Door(Alone()).send, Door(Alone()).receive):
        with pytest.raises(RuntimeError, match="there is no rank 1"):
            move(np.zeros(3), 1, "setup")


class Slow(Alone):
    """A transport around another one, as a throttle is: it waits before it passes a call on."""

    def __init__(self, inner):
        self.inner = inner

    def allgather(self, mine, whole, counts):
        time.sleep(0.02)
        self.inner.allgather(mine, whole, counts)


def test_the_door_times_what_a_wrapped_transport_takes():
    door, whole = Door(Slow(Alone())), np.zeros(3)
    door.allgather(np.ones(3), whole, [3], "uplink")
    assert whole.tolist() == [1, 1, 1] and door.ledger.rows()["seconds"][0] > 0.02
