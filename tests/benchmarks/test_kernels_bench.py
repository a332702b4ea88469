"""The bench `kernels`: every compressor is in it, beside memcpy."""

import json
import subprocess
import sys

import pytest

from mpi_lowrank import cli
from mpi_lowrank.benchmarks.operators import scaled
from mpi_lowrank.compressors import compressors
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.record.bench import BenchRecord

NAMED = ["identity", "natural", "svd:rank=5000", "topk:k=2+natural_dithering:levels=4"]


def rows(folder, *options):
    """Those of the bench on one rank, started without a launcher."""
    command = [sys.executable, "-m", "mpi_lowrank", "bench", "kernels", "--json", "--seconds", "0"]
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def name(row):
    return row["label"].partition(":")[0].partition("+")[0]


def test_every_compressor_is_timed(tmp_path):
    (tmp_path / "results").mkdir()
    measured = [row for row in rows(tmp_path, "--sizes", "1000") if "status" not in row]
    assert {name(row) for row in measured} == set(compressors.names())
    for row in measured:
        for part in ("encode", "decode", "memcpy"):
            speed = 4000 / row[f"{part}_p50_seconds"]
            assert row[f"{part}_bytes_per_second"] == pytest.approx(speed)
        copies = row["encode_p50_seconds"] / row["memcpy_p50_seconds"]
        assert row["encode_copies"] == pytest.approx(copies)


@pytest.mark.mpi
def test_what_is_named_is_measured_as_it_is_at_each_size(comm, tmp_path, capsys):
    from mpi_lowrank.benchmarks import session
    from mpi_lowrank.benchmarks.kernels import KERNELS

    options = {"sizes": [1000, 64], "only": NAMED, "dtype": "float64", "overwrite": False}
    out = {"out": str(tmp_path / "some.h5"), "seconds": 0.0, "repeats": 3}
    session.run(comm, "kernels", KERNELS, options | out, list)
    if comm.rank:
        return
    found = BenchRecord(tmp_path / "some.h5").rows
    assert [row["label"] for row in found] == [spec for spec in NAMED for _ in range(2)]
    assert [row["numbers"] for row in found] == [64, 1000] * len(NAMED)
    skipped = {row["label"]: row["status"] for row in found if "status" in row}
    assert list(skipped) == ["svd:rank=5000"]
    assert skipped["svd:rank=5000"].startswith("skipped: rank = 5000: allowed is")
    assert [row["of_float32"] for row in found if row["label"] == "identity"] == [1, 1]
    assert cli.main(["table", str(tmp_path / "some.h5")]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    assert "* skipped: rank = 5000: allowed is" in told and "1000 numbers: memcpy" in told


def test_budgets_are_scaled():
    assert str(scaled(read_spec("topk:k=8"), 1000)) == "topk(k=10)"
    assert str(scaled(read_spec("topk:k=8+randk:k=3"), 4000)) == "topk(k=40)+randk(k=10)"
    assert str(scaled(read_spec("svd:rank=1,shape=7x16"), 10**4)) == "svd(rank=4)"
