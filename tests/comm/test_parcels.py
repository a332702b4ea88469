import numpy as np
import pytest

pytestmark = pytest.mark.mpi

LIMITS = [2**31 - 1, 7, 1]


@pytest.mark.parametrize("limit", LIMITS)
def test_every_rank_is_told_what_rank_0_has(comm, limit):
    from mpi_lowrank.comm.parcels import from_root

    told = {"text": "λ = 0.1\n", "path": "\udcff.toml", "out": None, "settings": ["a=1"]}
    assert from_root(comm, told if comm.rank == 0 else ["something", "longer"], limit) == told


@pytest.mark.parametrize("limit", LIMITS)
def test_all_are_told_of_all_in_rank_order(comm, limit):
    from mpi_lowrank.comm.parcels import from_all

    everybody = [{"rank": rank, "text": "x" * 5 * rank} for rank in range(comm.size)]
    assert from_all(comm, everybody[comm.rank], limit) == everybody


@pytest.mark.parametrize("limit", [2**31 - 1, 100, 1])
def test_ledgers_are_gathered_in_pieces_that_no_ledger_counts(comm, limit):
    from mpi_lowrank.comm.parcels import gather_rows
    from mpi_lowrank.door.ledger import Ledger

    ledger = Ledger(comm.rank)
    for count in range(3 * comm.rank):  # none on rank 0
        ledger.add(0, "Bcast", "uint8", count, count, 0.0, 0.5, "uplink")
    gathered = gather_rows(comm, ledger.rows(), limit)
    assert len(ledger.rows()) == 3 * comm.rank and gathered.dtype == ledger.rows().dtype
    ranks = np.repeat(range(comm.size), 3 * np.arange(comm.size)) if comm.rank == 0 else []
    np.testing.assert_array_equal(gathered["rank"], ranks)
    counts = [count for rank in range(comm.size) for count in range(3 * rank)]
    np.testing.assert_array_equal(gathered["count"], counts if comm.rank == 0 else [])
