import json

import numpy as np

from mpi_lowrank.record import Record, RecordWriter
from mpi_lowrank.report.show import format_show, show

TWO = [("GD 4x", 896, 0.9, 0.0, 6), ("EF21 topk(k=2) 256x", 18, 0.95, 1e-4, 5)]


def test_show_holds_what_the_record_does_as_json(make_record):
    shown = show(make_record(cases=TWO))
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown["versions"] == {"numpy": "2.3", "mpi4py": "4.1"}
    assert [case["label"] for case in shown["cases"]] == ["GD 4x", "EF21 topk(k=2) 256x"]
    assert [case["rows"] for case in shown["cases"]] == [7, 6]


def test_arrays_and_numbers_json_lacks_are_shown(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {"versions": "unknown"})
    writer.start_case("a", {"L_i": np.array([1.0, np.inf]), "L": np.nan})
    writer.close()
    (case,) = show(Record(tmp_path / "r.h5"))["cases"]
    assert case["L_i"] == [1.0, None]
    assert case["L"] is None


def test_the_text_names_everything_once_and_ends_with_the_configuration(make_record):
    text = format_show(show(make_record(cases=TWO)))
    said = dict(line.split(maxsplit=1) for line in text.split("\n\n")[0].splitlines())
    assert said["hosts"] == "alpha (2x)"
    assert said["versions"] == "numpy 2.3, mpi4py 4.1"
    assert said["timing_valid"] == "yes"
    assert "\nEF21 topk(k=2) 256x\n" in text
    assert text.endswith('config\n  name = "mushrooms"\n  workers = 20')


def test_a_traceback_is_shown_line_by_line(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    verdict = {"status": "failed", "traceback": "Traceback:\n  File\x1b[31m\nMemoryError\n"}
    writer.end_case("a", {"method": "GD"}, verdict)
    writer.close()
    lines = format_show(show(Record(tmp_path / "r.h5"))).splitlines()
    at = lines.index("  traceback")
    assert lines[at + 1] == "    Traceback:" and lines[at + 3 :] == ["    MemoryError"]
    assert "\x1b" not in lines[at + 2]


def test_many_numbers_are_shown_by_their_range(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    writer.start_case("a", {"L_i": np.arange(20.0) + 0.5})
    writer.close()
    assert "L_i     0.5 to 19.5 (20)" in format_show(show(Record(tmp_path / "r.h5")))


def test_two_hundred_cases_fit_a_screen_and_all_of_them_are_there_if_asked_for():
    known = {"method": "EF21", "compressor": "topk(k=2)", "status": "finished", "valid": True}
    cases = [known | {"label": f"EF21 seed={seed}", "seed": seed} for seed in range(200)]
    cases[7] |= {"status": "failed", "valid": False}
    shown = {"path": "r.h5", "config": "workers = 4", "cases": cases}
    text = format_show(shown)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert len(lines) < 50 and max(map(len, text.splitlines())) <= 100
    common = lines[lines.index("200 cases, in common") : lines.index("differing")]
    assert "method EF21" in common and "seed 0 to 199 (200)" in lines[lines.index("differing") :]
    assert "status finished (199x), failed" in lines and "EF21 seed=7: failed" in lines
    every = format_show(shown, every=True)
    assert every.count("\nEF21 seed=") == 200 and every.endswith("workers = 4")
