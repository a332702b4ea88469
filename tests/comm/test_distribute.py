import numpy as np
import pytest
from scipy.sparse import csr_array

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("dense", [False, True])
def test_each_rank_gets_its_workers_rows_and_the_longest_shard_of_all(comm, dense):
    from mpi_lowrank.comm.distribute import assign, distribute
    from mpi_lowrank.comm.door import Door
    from mpi_lowrank.comm.ledger import Ledger
    from mpi_lowrank.comm.placement import Placement
    from mpi_lowrank.config import Data
    from mpi_lowrank.datasets import Dataset

    rng = np.random.default_rng(0)
    whole = rng.random((50, 6)) * (rng.random((50, 6)) < 0.5)
    labels = np.where(rng.random(50) < 0.5, -1, 1).astype(np.int8)
    data = Dataset("given", whole if dense else csr_array(whole), labels, "")
    workers = 2 * comm.size + 1
    placement = Placement(workers, comm.size, comm.rank)
    rows = assign(data, Data(test_fraction=0.2), workers, 0)
    door = Door(comm, Ledger(comm.rank))
    root = comm.rank == 0
    local = distribute(door, placement, data if root else None, rows if root else None, 7)
    # The last worker, on the last rank, has the remainder: everybody pads to it.
    assert local.longest == max(map(len, rows[0])) and local.seed == 7
    assert (local.train_rows, local.test_rows, local.classes) == (40, 10, 2)
    for held, worker in zip(local.workers, placement.workers, strict=True):
        expected = rows[0][worker]
        got = held.features if dense else held.features.toarray()
        np.testing.assert_array_equal(got, whole[expected])
        np.testing.assert_array_equal(held.labels, labels[expected])
