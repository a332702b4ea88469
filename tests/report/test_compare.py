"""Two records of the same cases, of which one has a number, a row or a case changed."""

import json

import numpy as np
import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.report.compare import compare

CASES = [("GD 4x", 896, 0.9, 0.0, 60), ("EF21", 18, 0.95, 1e-4, 100)]


def changed(at, column, times):
    """A change of the rows of EF21 from a round on."""

    def change(row):
        mine = row["uplink_bytes"] % 896 and row["round"] >= at
        return row | {column: row[column] * times} if mine else row

    return change


def test_a_record_is_the_same_as_itself_though_its_seconds_differ(make_record):
    one = make_record("one", cases=CASES)
    other = make_record(
        "other", cases=CASES, change=lambda row: row | {"seconds": 2 * row["seconds"]}
    )
    for row in compare(one, other):
        assert row["same"] and row["round"] is None and row["columns"] == []
        assert row["seconds_ratio"] == pytest.approx(2)
        low, high = row["interval"]
        assert low <= row["seconds_ratio"] <= high


@pytest.mark.parametrize("column", ["uplink_bytes", "grad_norm_sq", "loss"])
def test_the_first_round_that_differs_is_told_by_one_bit(make_record, column):
    one = make_record("one", cases=CASES)
    other = make_record("other", cases=CASES, change=changed(37, column, 1 + 2**-52))
    gd, ef21 = compare(one, other)
    assert gd["same"] and not ef21["same"]
    assert (ef21["round"], ef21["columns"]) == (37, [column])


def test_rows_and_cases_that_are_missing_are_differences(make_record):
    even = {"change": lambda row: row | {"grad_norm_sq": 1.0}}
    one = make_record("one", cases=CASES, **even)
    shorter = make_record("shorter", cases=[CASES[0], (*CASES[1][:4], 90)], **even)
    fewer = make_record("fewer", cases=CASES[:1])
    row = compare(one, shorter)[1]
    assert not row["same"] and row["round"] == 91 and "round" in row["columns"]
    for pair in ((one, fewer), (fewer, one)):
        row = compare(*pair)[1]
        assert row["label"] == "EF21" and row["missing"] == str(fewer.path) and not row["same"]


def test_an_interval_is_wide_where_seconds_are_uneven(make_record):
    rng = np.random.default_rng(1)
    uneven = np.cumsum(rng.exponential(1e-3, 200))
    one = make_record("one", cases=CASES[:1])
    other = make_record(
        "other", cases=CASES[:1], change=lambda row: row | {"seconds": uneven[row["round"]]}
    )
    (row,) = compare(one, other)
    low, high = row["interval"]
    assert low < row["seconds_ratio"] < high and high > 1.2 * low
    (row,) = compare(one, make_record("few", cases=[(*CASES[0][:4], 5)]))
    assert row["seconds_ratio"] is None and row["interval"] is None


def test_the_exit_status_says_whether_they_differ(make_record, capsys):
    one = str(make_record("one", cases=CASES).path)
    other = str(make_record("other", cases=CASES, change=changed(37, "loss", 2)).path)
    assert main(["compare", one, one]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "2 of 2 cases are the same to the bit, their seconds apart"
    assert main(["compare", one, other]) == 1
    told = capsys.readouterr().out
    assert "1 of 2 cases" in told and max(map(len, told.splitlines())) <= 100
    assert next(line for line in told.splitlines() if line.startswith("EF21")).split()[1:3] == [
        "loss",
        "37",
    ]
    assert main(["compare", one, other, "--json"]) == 1
    assert [row["same"] for row in json.loads(capsys.readouterr().out)] == [True, False]
