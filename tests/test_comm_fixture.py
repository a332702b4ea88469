import numpy as np
import pytest

pytestmark = pytest.mark.mpi

handles = []


def test_comm_spans_all_ranks_and_is_not_the_world(comm):
    from mpi4py import MPI

    assert MPI.Comm.Compare(comm, MPI.COMM_WORLD) == MPI.CONGRUENT


def test_comm_adds_over_all_ranks(comm):
    total = np.zeros(1, np.int64)
    comm.Allreduce(np.array([comm.rank + 1], np.int64), total)
    assert total[0] == comm.size * (comm.size + 1) // 2


def test_comm_is_freed_after_a_test_that_passed(comm):
    handles.append(comm)


def test_comm_of_the_test_before_is_gone(comm):
    from mpi4py import MPI

    assert handles == [MPI.COMM_NULL]
