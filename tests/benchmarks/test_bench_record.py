"""A bench's record: what is read back, and what other commands make of it."""

import json

import h5py
import numpy as np
import pytest

from mpi_lowrank import cli
from mpi_lowrank.errors import UserError
from mpi_lowrank.record.bench import BenchRecord, BenchWriter, is_bench

ROOT = {
    **{"bench": "collectives", "ranks": 2, "cores": 2, "mpi_library": "MPICH 5", "load": 0.5},
    **{"kernels": "numpy", "most_seconds": 2.0, "most_repeats": 9, "timing_valid": False},
    "timing_reasons": ["vm: busy"],
}
CALL = {
    **{"label": "Send", "table": "calls", "bytes": 64, "p50_seconds": 1.5e-6, "repeats": 9},
    **{"until": "repeats", "uncertainty": 0.07, "bytes_per_second": None},
}
SAMPLES = np.array([1e-6, 1.5e-6, 3.0])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some.h5"
    BenchWriter(path, overwrite=False).write(ROOT, [(CALL, {"call": SAMPLES})])
    return path


def test_it_reads_back(path):
    record = BenchRecord(path)
    assert is_bench(path) and ROOT.items() <= record.attributes.items()
    assert record.rows == [{key: value for key, value in CALL.items() if value is not None}]
    np.testing.assert_array_equal(record.samples[0]["call"], SAMPLES)
    with h5py.File(path) as file:
        assert file["rows/0000/call"].attrs["units"] == "s"


@pytest.mark.parametrize("command", ["table", "show"])
def test_it_is_printed_as_the_bench_did(path, capsys, command):
    assert cli.main([command, str(path)]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    assert told.startswith("bench collectives: 2 ranks on 2 cores, MPICH 5, numpy; load 0.5")
    row = next(line for line in told.splitlines() if line.startswith("Send"))
    assert row.split() == ["Send", "64", "1.50~", "9", "7.0", "repeats"]
    assert "Of 1 rows 0 have a median known within 5 %; 1 ended at the limit of 2.0 s or 9" in told
    assert "~ seconds not valid: vm: busy" in told


def test_its_rows_are_json(path, capsys):
    assert cli.main(["show", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["rows"][0]["p50_seconds"] == 1.5e-6 and shown["bench"] == "collectives"


def test_other_commands_say_what_it_is(path, capsys):
    assert cli.main(["best", str(path), "--target", "loss=1"]) == 2
    told = "is a bench's record, no run's; mpi-lowrank show prints it\n"
    assert capsys.readouterr().err == f"mpi-lowrank: error: {path}: {told}"


def test_an_earlier_one_is_replaced_only_if_asked(path):
    with pytest.raises(UserError, match="exists; give another name, or --overwrite"):
        BenchWriter(path, overwrite=False)
    BenchWriter(path, overwrite=True).write(ROOT, [])
    assert BenchRecord(path).rows == []


@pytest.mark.parametrize(
    "row, told",
    [
        (CALL | {"bytes": "many"}, "a row has an impossible bytes"),
        (CALL | {"until": 3}, "a row has an impossible until"),
        ({"table": "calls"}, "a row has no label"),
    ],
)
def test_a_damaged_one_is_one_line(tmp_path, row, told):
    path = tmp_path / "damaged.h5"
    BenchWriter(path, overwrite=False).write(ROOT, [(row, {})])
    with pytest.raises(UserError, match=told):
        BenchRecord(path)


def test_one_of_a_bench_that_is_not_there_is_one_line(tmp_path, capsys):
    path = tmp_path / "later.h5"
    BenchWriter(path, overwrite=False).write(ROOT | {"bench": "colectives"}, [(CALL, {})])
    assert cli.main(["show", str(path)]) == 2
    assert "did you mean collectives?" in capsys.readouterr().err


def test_rows_of_kernels_without_their_size_are_shown(tmp_path, capsys):
    part = {"encode_bytes_per_second": 1e9, "decode_bytes_per_second": 2e9}
    rows = [
        ({"label": "natural", "table": "rounded", **part, **size}, {})
        for size in ({}, {"numbers": float("nan")})
    ]
    path = tmp_path / "strange.h5"
    BenchWriter(path, overwrite=False).write(ROOT | {"bench": "kernels"}, rows)
    assert cli.main(["show", str(path)]) == 0
    assert "0 numbers: memcpy 0 GB/s; 1 of 1 compressors" in capsys.readouterr().out
