import numpy as np
import pytest
from scipy.sparse import csr_array

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("dense", [False, True])
def test_each_rank_gets_its_workers_rows_and_the_longest_shard_of_all(comm, dense):
    from mpi_lowrank.comm.distribute import distribute
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.datasets import Data, Dataset, assign
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement

    rng = np.random.default_rng(0)
    whole = rng.random((50, 6)) * (rng.random((50, 6)) < 0.5)
    labels = np.where(rng.random(50) < 0.5, -1, 1).astype(np.int8)
    data = Dataset("given", whole if dense else csr_array(whole), labels, "")
    workers = 2 * comm.size + 1
    placement = Placement(workers, comm.size, comm.rank)
    rows = assign(data.labels, Data(test_fraction=0.2), workers, 0)
    door = Door(MpiTransport(comm))
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


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (np.array([198, 40000, -1, 2**31 - 1]), np.int32),
        (np.array([0, 1, 1, 0], np.int8), np.int32),
        (np.array([0.25, -1e300, 3.0, np.pi]), np.float64),
        (np.array([0.1, 0.2, 0.3, 2.0], np.float32), np.float64),
    ],
)
@pytest.mark.parametrize("index", [None, np.int32, np.int64])
def test_labels_of_every_type_reach_every_rank_as_they_are(comm, labels, kept, index):
    from mpi_lowrank.comm.distribute import distribute
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.datasets import Data, Dataset, assign
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement

    labels, features = np.tile(labels, comm.size), np.eye(4 * comm.size)
    if index:
        features = csr_array(features)
        features.indices = features.indices.astype(index)
    data = Dataset("given", features, labels, "")
    placement = Placement(comm.size, comm.size, comm.rank)
    rows = assign(data.labels, Data(), comm.size, 0)
    local = distribute(Door(MpiTransport(comm)), placement, data, rows, 0)
    (held,) = local.workers
    assert held.labels.dtype == kept
    np.testing.assert_array_equal(held.labels, labels[rows[0][comm.rank]])
    got = held.features.toarray() if index else held.features
    np.testing.assert_array_equal(got, np.eye(4 * comm.size)[rows[0][comm.rank]])


@pytest.mark.parametrize("number", [1, 2, 3, 4])  # labels, values, where rows start, columns
def test_rows_that_are_damaged_on_their_way_are_one_line(comm, number):
    from mpi_lowrank.comm.distribute import distribute
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.datasets import Data, Dataset, assign
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.errors import UserError

    class Damaging(MpiTransport):
        """The array that is received as that number has another last bit."""

        received = 0

        def receive(self, array, source):
            super().receive(array, source)
            if self.received == number:
                array.view(np.uint8)[-1] ^= 1
            self.received += 1

    rng = np.random.default_rng(0)
    labels = np.where(rng.random(12) < 0.5, -1, 1)
    data = Dataset("given", csr_array(rng.random((12, 3)) * 0.5), labels, "")
    placement = Placement(comm.size, comm.size, comm.rank)
    rows = assign(data.labels, Data(), comm.size, 0)
    door = Door(Damaging(comm))
    if comm.rank == 0:
        distribute(door, placement, data, rows, 0)
        return
    with pytest.raises(UserError, match=rf"rows of workers {comm.rank} to {comm.rank} are not"):
        distribute(door, placement, None, None, 0)
