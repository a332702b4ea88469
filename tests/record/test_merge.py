"""Shares of a sweep become one record."""

import shutil

import h5py
import numpy as np
import pytest

from mpi_lowrank.cli.entry import main
from mpi_lowrank.record import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter

ROOT = {"config": "one", "created": "2026-01-02", "sessions": ["a"], "timing_reasons": []}


def make(path, cases, **root):
    """A record of these cases, (label, number, status, key) each, with a row per number."""
    writer = RecordWriter(path, ROOT | {"data": ["d"], "data_sha256": ["0"]} | root)
    for label, number, status, key in cases:
        writer.start_case(label, {"number": number, "key": key})
        for done in range(number + 1):
            writer.append({"round": done, "loss": 0.1})
        ledger, phases = np.ones(number, LEDGER_DTYPE), np.zeros(1, PHASES_DTYPE)
        writer.finish_case({"status": status}, ledger, phases)
    writer.close()
    return str(path)


def test_all_cases_of_the_records_are_in_the_merged_one_in_their_order(tmp_path, capsys):
    one = make(tmp_path / "1.h5", [("a", 0, "finished", "k"), ("c", 2, "interrupted", "k")])
    other = [("b", 1, "diverged", "k"), ("c", 2, "finished", "k"), ("a", 0, "failed", "k")]
    more = {"created": "2026-01-01", "sessions": ["b"], "timing_reasons": ["noise"]}
    two = make(tmp_path / "2.h5", other, data=["e"], data_sha256=["1"], **more)
    assert main(["merge", one, two, "-o", str(tmp_path / "3.h5")]) == 0
    assert capsys.readouterr().out == f"record: {tmp_path / '3.h5'}\n"
    merged = Record(tmp_path / "3.h5")
    assert list(merged.cases) == ["a", "b", "c"]
    statuses = [case.attributes["status"] for case in merged.cases.values()]
    assert statuses == ["finished", "diverged", "finished"]
    assert [len(case) for case in merged.cases.values()] == [1, 2, 3]
    assert len(merged.cases["c"].ledger) == 2
    root = merged.attributes
    assert (root["created"], root["sessions"]) == ("2026-01-01", ["a", "b"])
    assert (root["data"], root["data_sha256"]) == (["d", "e"], ["0", "1"])
    assert not root["timing_valid"] and root["timing_reasons"] == ["noise"]


def along(path):
    """Of each case the paths of what its columns lie along, and whether these are scales."""
    with h5py.File(path) as file:
        found = {}
        for case in file["cases"].values():
            others = [column for name, column in case["rounds"].items() if name != "round"]
            scales = [scale for column in others for scale in column.dims[0].values()]
            assert len(scales) == len(others) == len(COLUMNS) - 1
            found[case.attrs["label"]] = {(scale.name, scale.is_scale) for scale in scales}
        return found


def test_columns_lie_along_the_rounds_of_their_own_file_wherever_they_are_copied(tmp_path):
    one = make(tmp_path / "1.h5", [("a", 0, "finished", "k"), ("b", 1, "finished", "k")])
    two = make(tmp_path / "2.h5", [("c", 2, "finished", "k")])
    merged = tmp_path / "3.h5"
    assert main(["merge", one, two, "-o", str(merged)]) == 0
    shutil.copy(merged, tmp_path / "4.h5")
    RecordWriter(merged, ROOT, kept=["a", "c"]).close()
    for path, labels in ((one, "ab"), (two, "c"), (merged, "ac"), (tmp_path / "4.h5", "abc")):
        assert along(path) == {a: {(f"/cases/{a}/rounds/round", True)} for a in labels}


@pytest.mark.parametrize(
    ("key", "root", "words"),
    [
        ("k", {"config": "two"}, "has another configuration than"),
        ("other", {}, "its case 'a' is not the one of"),
    ],
)
def test_records_of_other_cases_are_refused_and_nothing_is_written(
    tmp_path, capsys, key, root, words
):
    one = make(tmp_path / "1.h5", [("a", 0, "finished", "k")])
    two = make(tmp_path / "2.h5", [("a", 0, "finished", key)], **root)
    assert main(["merge", one, two, "-o", str(tmp_path / "3.h5")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "3.h5").exists()
    assert main(["merge", one, one, "-o", two]) == 2
    assert "2.h5: exists" in capsys.readouterr().err
