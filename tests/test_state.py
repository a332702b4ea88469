"""What survives a round is named, and nothing else."""

import numpy as np
import pytest

from mpi_lowrank.rounds.state import State


def test_arrays_are_zeros_of_the_states_type_and_rows_are_one_per_worker():
    state = State(3, np.float32)
    x, errors = state.array("x", 5), state.rows("e_i", 5)
    worst = state.of_rank("worst", 2)
    rounds, bits = state.counter("rounds"), state.rows("bits", (2, 4), np.uint8)
    assert (x.shape, x.dtype, errors.shape) == ((5,), np.float32, (3, 5))
    assert (rounds.shape, rounds.dtype, bits.shape) == ((), np.int64, (3, 2, 4))
    assert not any(entry.array.any() for entry in state)
    assert state.nbytes == 4 * 5 + 4 * 15 + 8 + 24 + 8
    assert [entry.name for entry in state if entry.per_rank] == ["worst"] and worst.shape == (2,)


def test_names_are_unique_in_one_store_and_parts_have_their_own():
    state = State(2, float)
    inner = state.within("uplink").within("block 1")
    inner.array("basis", (2, 3))
    inner.within("carried", 4).rows("last")
    state.array("basis")
    with pytest.raises(ValueError, match="uplink/block 1/basis"):
        state.within("uplink").within("block 1").rows("basis")
    named = {entry.name: (entry.array.shape, entry.per_worker) for entry in state}
    assert named == {
        "uplink/block 1/basis": ((2, 3), False),
        "uplink/block 1/carried/last": ((8,), True),
        "basis": ((), False),
    }


def test_a_planned_state_knows_its_bytes_and_takes_none():
    state = State(2**10, float, planned=True)
    x, rows = state.array("x", 2**40), state.rows("g_i", 2**40)
    x[:10] = 1
    assert rows.shape == (2**10, 2**40) and state.nbytes == 8 * (2**40 + 2**50)
