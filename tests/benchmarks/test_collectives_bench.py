"""The bench `collectives` on real ranks, and on lines that change a byte."""

import numpy as np
import pytest

pytestmark = pytest.mark.mpi

OPTIONS = {"sizes": [4, 4096], "seconds": 0.05, "repeats": 7, "overwrite": False}


def corrupted(comm, call, rank):
    """MPI's lines, on which one rank gets its last byte wrong in one kind of call."""
    from mpi_lowrank.comm.mpi import MpiTransport

    def damaged(self, *arguments):
        getattr(MpiTransport, call)(self, *arguments)
        got = arguments[0 if call in ("broadcast", "receive") else 1]
        if self.rank == rank and got is not None and got.size:
            got.view(np.uint8)[-1] ^= 1

    return type("Corrupted", (MpiTransport,), {call: damaged})(comm)


def run(comm, folder, lines=None, **more):
    from mpi_lowrank.benchmarks import session
    from mpi_lowrank.benchmarks.collectives import COLLECTIVES

    out = {"out": str(folder / "some.h5")}
    session.run(comm, "collectives", COLLECTIVES, OPTIONS | out | more, list, lines)


def test_every_call_is_measured_and_recorded(comm, tmp_path):
    from mpi_lowrank.benchmarks.sheets.report import format_bench
    from mpi_lowrank.comm.world import AgreedError
    from mpi_lowrank.door import calls
    from mpi_lowrank.record.bench import BenchRecord

    if comm.size == 1:
        with pytest.raises(AgreedError):
            run(comm, tmp_path)
        return
    run(comm, tmp_path)
    if comm.rank:
        return
    record = BenchRecord(tmp_path / "some.h5")
    measured = [row for row in record.rows if row["table"] == "calls"]
    ops = {call.op for call in calls.ALL} - {"Recv"}
    assert {row["label"] for row in measured} == ops and len(measured) == 2 * len(ops) - 1
    for row, samples in zip(record.rows, record.samples, strict=True):
        if row["table"] == "calls":
            assert len(samples["call"]) == row["repeats"] <= 7
            assert row["p50_seconds"] == np.median(samples["call"]) > 0
            assert row["until"] in ("repeats", "seconds")
    models = [row for row in record.rows if row["table"] == "models"]
    assert {row["label"] for row in models} == ops
    assert all(row["latency_seconds"] >= 0 and row["residual"] >= 0 for row in models)
    assert record.attributes["ranks"] == comm.size
    assert max(map(len, format_bench(record).splitlines())) <= 100


@pytest.mark.parametrize(
    "call, rank",
    [("allreduce", 0), ("allgather", 1), ("gather", 0), ("broadcast", 1), ("receive", 0)],
)
def test_a_wrong_byte_ends_it_on_every_rank(comm, tmp_path, capfd, call, rank):
    from mpi_lowrank.comm.world import AgreedError

    if comm.size == 1:
        pytest.skip("needs two ranks")
    with pytest.raises(AgreedError):
        run(comm, tmp_path, corrupted(comm, call, rank), sizes=[64], seconds=0.0)
    told = capfd.readouterr().err
    assert (f"rank {rank} got a wrong byte, number" in told) == (comm.rank == rank)
    assert not list(tmp_path.iterdir())


def test_impossible_options_are_refused_on_every_rank(comm, tmp_path, capfd):
    from mpi_lowrank.benchmarks import session
    from mpi_lowrank.benchmarks.collectives import COLLECTIVES
    from mpi_lowrank.comm.world import AgreedError

    wrong = {"sizes": [[6], [0], [1 << 40]], "repeats": [0], "seconds": [-1.0, float("inf")]}
    for name, values in wrong.items():
        for value in values:
            given = OPTIONS | {"out": str(tmp_path / "some.h5"), name: value}
            with pytest.raises(AgreedError):
                session.run(comm, "collectives", COLLECTIVES, given, list)
            told = capfd.readouterr().err
            one_rank = comm.size == 1 and name == "sizes"
            assert comm.rank or one_rank or told.startswith(f"mpi-lowrank: error: --{name}")


def test_ranks_that_measure_otherwise_end_together(comm):
    from mpi_lowrank.benchmarks.repeats import Limits, repeat
    from mpi_lowrank.comm import parcels
    from mpi_lowrank.comm.mpi import MpiTransport

    noise = np.random.default_rng(comm.rank)
    mine = []

    def once():
        mine.append(1.0 + noise.exponential())
        return (mine[-1],)

    limits = Limits(repeats=50 + 10 * comm.size, seconds=60)
    found = repeat(MpiTransport(comm), ("call",), once, limits)
    everybody = parcels.from_all(comm, [found.until, found.seconds["call"].tolist(), mine])
    assert all(one[:2] == everybody[0][:2] for one in everybody)
    slowest = np.max([one[2] for one in everybody], axis=0)
    np.testing.assert_array_equal(found.seconds["call"], slowest)
