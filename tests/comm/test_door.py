import time

import numpy as np
import pytest

pytestmark = pytest.mark.mpi


def make_door(comm, limit=2**31 - 1, naps=False):
    from mpi_lowrank.comm.mpi import MpiTransport, NappingTransport
    from mpi_lowrank.door import Door

    return Door((NappingTransport if naps else MpiTransport)(comm), limit)


def numbers(rank, count):
    return np.arange(count, dtype=np.float64) + 1000 * rank


@pytest.mark.parametrize(
    ("limit", "naps"), [(2**31 - 1, False), (7, False), (1, False), (2**31 - 1, True), (7, True)]
)
def test_chunks_carry_the_same_as_one_call(comm, limit, naps):
    door = make_door(comm, limit, naps)
    counts = [3 * rank + 2 for rank in range(comm.size)]
    mine, expected = (
        numbers(comm.rank, counts[comm.rank]),
        np.concatenate([numbers(rank, count) for rank, count in enumerate(counts)]),
    )
    whole = np.zeros(sum(counts))
    door.allgather(mine, whole, counts, "uplink")
    np.testing.assert_array_equal(whole, expected)

    gathered = np.zeros(sum(counts)) if comm.rank == 0 else None
    door.gather(mine, gathered, counts, "uplink")
    if comm.rank == 0:
        np.testing.assert_array_equal(gathered, expected)

    sent = numbers(comm.size - 1, 20) if comm.rank == comm.size - 1 else np.zeros(20)
    door.broadcast(sent, "downlink", comm.size - 1)
    np.testing.assert_array_equal(sent, numbers(comm.size - 1, 20))

    largest, total = np.zeros(20), np.zeros(20)
    door.maximum(numbers(comm.rank, 20), largest, "control")
    np.testing.assert_array_equal(largest, numbers(comm.size - 1, 20))
    door.allreduce(numbers(comm.rank, 20), total, "uplink")
    np.testing.assert_array_equal(total, sum(numbers(rank, 20) for rank in range(comm.size)))
    door.barrier("control")
    if comm.rank == 0:
        received = np.zeros(20)
        for rank in range(1, comm.size):
            door.receive(received, rank, "uplink")
            np.testing.assert_array_equal(received, numbers(rank, 20))
    else:
        door.send(numbers(comm.rank, 20), 0, "uplink")
    assert door.ledger.rows()["count"].max() <= max(limit, 3 * comm.size + 17)
    if limit < 20:
        assert door.ledger.rows()["count"].max() <= limit


@pytest.mark.parametrize("known", [True, False])
def test_float16_is_carried_and_summed_whether_this_mpi_has_such_a_type_or_not(
    comm, monkeypatch, known
):
    from mpi_lowrank.comm import mpi as module

    if not known:
        monkeypatch.setattr(module, "_has_type", lambda dtype: dtype != np.float16)
    door, mine = make_door(comm), numbers(comm.rank, 5).astype(np.float16)
    counts, each = [5] * comm.size, [numbers(r, 5).astype(np.float16) for r in range(comm.size)]
    whole, total, last = np.zeros(5 * comm.size, np.float16), np.zeros(5, np.float16), mine.copy()
    door.allgather(mine, whole, counts, "uplink")
    np.testing.assert_array_equal(whole, np.concatenate(each))
    door.allreduce(mine, total, "uplink")
    np.testing.assert_allclose(total, np.sum(each, axis=0, dtype=np.float64), rtol=2e-3)
    door.broadcast(last, "downlink", comm.size - 1)
    np.testing.assert_array_equal(last, each[-1])
    assert {row["dtype"] for row in door.ledger.rows()} == {b"float16"}


def test_an_exact_sum_has_the_same_bits_however_workers_are_dealt(comm):
    from mpi_lowrank.door import Alone, Door

    workers = np.random.default_rng(0).standard_normal((12, 5)) * 10.0 ** np.arange(-8, 12, 4)
    expected, out = np.empty(5), np.full(5, 7.0)
    Door(Alone()).exact_sum(workers[::-1], expected, 12, "setup")
    make_door(comm).exact_sum(np.array_split(workers, comm.size)[comm.rank], out, 12, "setup")
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_allclose(out, workers.sum(axis=0), rtol=1e-13)


def test_a_ledger_row_tells_the_call(comm):
    door = make_door(comm)
    door.round = 12
    door.broadcast(np.zeros((3, 4), np.float32), "downlink")
    (row,) = door.ledger.rows()
    assert (row["rank"], row["round"], row["op"], row["dtype"]) == (
        comm.rank,
        12,
        b"Bcast",
        b"float32",
    )
    assert (row["count"], row["bytes"], row["purpose"]) == (12, 48, b"downlink")
    assert row["seconds"] > 0


def test_a_full_ledger_grows_and_keeps_its_rows(comm):
    from mpi_lowrank.door.ledger import Ledger

    ledger = Ledger(comm.rank, capacity=2)
    for count in range(9):
        ledger.add(0, "Bcast", "uint8", count, count, 0.0, 0.0, "uplink")
    assert ledger.rows()["count"].tolist() == list(range(9))
    assert ledger.nbytes("uplink") == 36 and ledger.nbytes("downlink") == 0


def test_a_mistake_on_one_rank_is_an_error_on_all(comm, capsys):
    from mpi_lowrank.comm.world import AgreedError, agree
    from mpi_lowrank.errors import UserError

    def step():
        if comm.rank == comm.size - 1:
            raise UserError("the file is not there")

    with pytest.raises(AgreedError):
        agree(comm, step)
    printed = capsys.readouterr().err
    mine = "mpi-lowrank: error: the file is not there\n"
    assert printed == (mine if comm.rank == comm.size - 1 else "")
    assert agree(comm, lambda: 3) == 3


def test_a_replica_that_differs_by_one_bit_is_noticed(comm):
    from mpi_lowrank.run.validity import check_replicas

    x = np.ones(5)
    assert check_replicas(make_door(comm), x) == []
    if comm.size > 1:
        x[3] = np.nextafter(1, 2) if comm.rank == comm.size - 1 else 1
        assert "replicas of x differ" in check_replicas(make_door(comm), x)[0]


@pytest.mark.parametrize("name", ["identity", "topk", "rsvd"])
def test_a_round_allocates_nothing_of_the_gradient_s_size(comm, name):
    import tracemalloc

    from mpi_lowrank.compressors import compressors
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.machine.clock import Clock
    from mpi_lowrank.methods import methods
    from mpi_lowrank.methods.base import Constants, Setting
    from mpi_lowrank.rounds.state import State
    from mpi_lowrank.steps.plain import Plain

    d, dtype = 2**18, np.dtype(np.float64)
    placement = Placement(comm.size, comm.size, comm.rank)
    exchange = Exchange(make_door(comm), placement, Clock(), dtype)
    options = {"topk": {"k": 8}, "rsvd": {"rank": 1, "oversampling": 1}}.get(name, {})
    compressor, dense = (
        compressors[name]((d,), dtype, **options),
        compressors["identity"]((d,), dtype),
    )
    for prepared in (compressor, dense):
        exchange.prepare(prepared)
    gradient = np.random.default_rng(comm.rank).standard_normal((1, d))
    x0, state = np.zeros(d), State(placement.local, dtype)
    setting = Setting(
        gradients=lambda x, batch=None: gradient,
        losses=None,
        hessians=None,
        exchange=exchange,
        compressor=compressor,
        dense=dense,
        state=state,
        x0=x0,
        stepsize=0.1,
        step=lambda x: Plain(x, 0.1, state, [x.shape]),
        batches=None,
        constants=Constants(1.0, np.ones(placement.total)),
        numbers=placement.workers,
        total=placement.total,
        samples=np.ones(placement.local, int),
        rounds=6,
        seed=0,
        uplink=None,
        downlink=None,
    )
    method = methods["EF21"](setting)
    method.round(0)
    method.round(1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for t in range(2, 6):
        method.round(t)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < d  # bytes: an eighth of one float64 vector


def test_every_call_has_its_row_and_its_modelled_traffic(comm):
    from mpi_lowrank.door import LIMIT

    door, p, bytes_each = make_door(comm), comm.size, 5 * 8
    assert make_door(comm, LIMIT).limit == np.iinfo(np.int32).max and door.round == -1
    mine, whole, counts = np.full(5, comm.rank + 1.0), np.zeros(5 * p), [5] * p
    door.allgather(mine, whole, counts, "uplink")
    door.gather(mine, whole if comm.rank == 0 else None, counts, "uplink")
    door.broadcast(mine.copy(), "downlink")
    door.allreduce(mine, np.zeros(5), "uplink")
    door.maximum(mine, np.zeros(5), "control")
    door.barrier("evaluation")
    door.exact_sum(mine[np.newaxis], np.zeros(5), p, "setup")
    names = [b"Allgatherv", b"Gatherv", b"Bcast", b"Allreduce", b"Allreduce", b"Barrier"]
    factors = [p - 1, 1 - 1 / p, 1 - 1 / p, 2 - 2 / p, 2 - 2 / p, 0]
    names, factors = [*names, b"Allreduce", b"Allreduce"], [*factors, 2 - 2 / p, 2 - 2 / p]
    rows = door.ledger.rows()
    assert rows["op"].tolist() == names
    sent = [bytes_each] * 5 + [0, bytes_each, 2 * bytes_each]  # high parts are two each
    assert rows["bytes"].tolist() == sent and rows["count"].tolist() == [b // 8 for b in sent]
    np.testing.assert_allclose(rows["modelled"], np.array(factors) * sent, rtol=1e-14)
    assert (rows["seconds"] > 0).all() and (rows["round"] == -1).all()


def test_a_barrier_waits_for_the_last_rank(comm):
    door = make_door(comm)
    comm.Barrier()
    if comm.rank == comm.size - 1:
        time.sleep(0.2)
    door.barrier("evaluation")
    if comm.rank < comm.size - 1:
        assert door.ledger.rows()["seconds"][0] > 0.1


def test_the_largest_of_numbers_that_are_none_is_infinite_whoever_has_them(comm):
    out = np.zeros(3)
    mine = np.array([np.nan if comm.rank == 0 else 1.0, 2.0, np.nan])
    make_door(comm).maximum(mine, out, "control")
    assert out.tolist() == [np.inf, 2.0, np.inf]
