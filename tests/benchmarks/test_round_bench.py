"""The bench `round`: phases, waits and the script beside them."""

from types import SimpleNamespace

import numpy as np
import pytest

from mpi_lowrank.record.schema import LEDGER_DTYPE

PHASES = ("gradient", "compress", "exchange", "decode", "update")


def ledger(calls):
    """Rows of (rank, first round, last round, calls, seconds, purpose)."""
    rows = np.zeros(len(calls), LEDGER_DTYPE)
    for row, (rank, first, last, count, seconds, purpose) in zip(rows, calls, strict=True):
        row["rank"], row["round"], row["last"], row["calls"] = rank, first, last, count
        row["seconds"], row["purpose"] = seconds, purpose
    return SimpleNamespace(ledger=rows)


# Serial tests import no MPI, and these functions stand beside those that need it.
@pytest.mark.mpi
def test_a_rank_waits_for_the_last_to_come(comm):
    from mpi_lowrank.benchmarks.runs import seconds_in_mpi, seconds_waited

    case = ledger(
        [
            (0, -1, -1, 1, 100.0, "setup"),
            (0, 0, 0, 1, 5.0, "uplink"),
            (0, 1, 1, 1, 1.0, "uplink"),
            (0, 1, 1, 1, 2.0, "downlink"),
            (0, 2, 9, 8, 64.0, "uplink"),
            (0, 1, 1, 1, 50.0, "control"),
            (1, 0, 0, 1, 2.0, "uplink"),
            (1, 1, 1, 1, 4.0, "uplink"),
            (1, 1, 1, 1, 2.5, "downlink"),
            (1, 2, 9, 8, 32.0, "uplink"),
        ]
    )
    np.testing.assert_array_equal(seconds_in_mpi(case, 2), [72, 40.5])
    np.testing.assert_array_equal(seconds_waited(case, 2), [(5 - 2) / 2, (4 - 1 + 0.5) / 2])


@pytest.mark.mpi
def test_a_round_is_the_sum_of_its_phases(comm, tmp_path):
    from mpi_lowrank.benchmarks import session
    from mpi_lowrank.benchmarks.round import ROUND
    from mpi_lowrank.benchmarks.sheets.report import format_bench
    from mpi_lowrank.record.bench import BenchRecord

    out = tmp_path / "some.h5"
    options = {"rounds": 4, "seconds": 0.0, "repeats": 1, "overwrite": False, "out": str(out)}
    session.run(comm, "round", ROUND, options, list)
    if comm.rank:
        return
    record = BenchRecord(out)
    rows = {row["label"]: row for row in record.rows}
    ours, script = rows["this package"], rows["plain script, one process"]
    assert ours["ratio"] == pytest.approx(script["p50_seconds"] / ours["p50_seconds"])
    ranks = [rows[f"rank {rank}"] for rank in range(comm.size)]
    whole = [sum(row[f"{phase}_seconds"] for phase in PHASES) for row in ranks]
    assert max(whole) == pytest.approx(ours["p50_seconds"], rel=1e-6)
    for row in ranks:
        assert 0 <= row["wait_seconds"] < row["mpi_seconds"] < row["exchange_seconds"]
    mean = np.mean([row["wait_seconds"] for row in ranks])
    assert rows["mean of the ranks"]["wait_seconds"] == pytest.approx(mean)
    assert max(map(len, format_bench(record).splitlines())) <= 100


@pytest.mark.mpi
def test_the_script_takes_the_packages_steps(comm, tmp_path):
    from mpi_lowrank.benchmarks.round import CONFIG
    from mpi_lowrank.benchmarks.runs import run_case
    from mpi_lowrank.benchmarks.script import STEP, K, PlainScript

    if comm.size > 2:
        pytest.skip("the same on any number of ranks, and slow on more than there are cores")
    text = CONFIG.format(workers=20, rounds=30, step=STEP, k=K)
    case = run_case(comm, text, tmp_path)
    if comm.rank:
        return
    script = PlainScript(20)
    norms = [script.squared_gradient_norm(script.run(rounds)) for rounds in (0, 30)]
    np.testing.assert_allclose(case["grad_norm_sq"], norms, rtol=1e-9)
    assert norms[1] < 0.9 * norms[0]
