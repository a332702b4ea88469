import json
import math

import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Record, RecordWriter
from mpi_lowrank.report.best import best_rows
from mpi_lowrank.report.medians import median_rows
from mpi_lowrank.report.table import format_table, table_rows

TWO = [("GD 4x", 896, 0.9, 0.0, 200), ("EF21 topk(k=2) 256x", 18, 0.95, 1e-4, 100)]


def noiseless(row):
    """The gradient of TWO without its noise, so that a test can say when it meets a target."""
    fall, stall = (0.9, 0.0) if row["uplink_bytes"] % 896 == 0 else (0.95, 1e-4)
    return row | {"grad_norm_sq": 30 * fall ** row["round"] + stall}


def test_a_row_holds_the_end_of_its_case(make_record):
    record = make_record(cases=TWO)
    rows = table_rows([record])
    assert [row["label"] for row in rows] == ["GD 4x", "EF21 topk(k=2) 256x"]
    assert [row["baseline"] for row in rows] == [True, False]
    for row, case in zip(rows, record.cases.values(), strict=True):
        assert row["rounds"] == case["round"][-1]
        assert row["uplink_bytes"] == case["uplink_bytes"][-1]
        assert row["total_bytes"] == case["uplink_bytes"][-1] + case["downlink_bytes"][-1]
        assert row["grad_norm_sq"] == case["grad_norm_sq"][-1]
        assert row["test_accuracy"] is None
        assert row["targets"] == []


def test_the_target_is_met_at_the_first_recorded_round_that_meets_it(make_record):
    record = make_record(cases=TWO, change=noiseless)
    rounds = math.ceil(math.log(30 / 1e-3) / -math.log(0.9))
    gd, ef21 = table_rows([record], ("grad_norm_sq", 1e-3))
    assert gd["targets"][0]["reached"]["rounds"] == rounds
    assert gd["targets"][0]["reached"]["uplink_bytes"] == 896 * (rounds + 1)
    assert gd["targets"][0]["reached"]["total_bytes"] == 20 * 896 * (rounds + 1)
    assert ef21["targets"][0]["reached"] is None


def test_ratios_are_to_the_baseline_case_of_the_record(make_record):
    gd, ef21 = table_rows([make_record(cases=TWO, change=noiseless)], ("grad_norm_sq", 1.0))
    assert gd["targets"][0]["reached"]["uplink_bytes_ratio"] == 1.0
    for cost in ("rounds", "uplink_bytes", "total_bytes", "seconds"):
        expected = ef21["targets"][0]["reached"][cost] / gd["targets"][0]["reached"][cost]
        assert ef21["targets"][0]["reached"][f"{cost}_ratio"] == expected


def test_ratios_are_missing_where_the_baseline_never_reached_the_target(make_record):
    record = make_record(cases=TWO, root={"baseline": "EF21 topk(k=2) 256x"}, change=noiseless)
    gd, _ = table_rows([record], ("grad_norm_sq", 1e-6))
    assert gd["targets"][0]["reached"]["uplink_bytes_ratio"] is None


def test_accuracy_is_reached_from_below_and_loss_from_above(make_record):
    record = make_record(cases=TWO[:1])
    case = record.cases["GD 4x"]
    for metric, value in (("train_accuracy", 0.9), ("loss", 0.2)):
        (row,) = table_rows([record], (metric, value))
        met = case[metric] >= value if metric == "train_accuracy" else case[metric] <= value
        assert row["targets"][0]["reached"]["rounds"] == list(met).index(True)
        assert 0 < row["targets"][0]["reached"]["rounds"] < 200


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("test_accuracy", "recorded is grad_norm_sq, loss, train_accuracy"),
        ("speed", "allowed is grad_norm_sq, loss, test_accuracy, train_accuracy"),
    ],
)
def test_a_target_that_nobody_recorded_names_what_is(make_record, metric, message):
    with pytest.raises(UserError, match=message):
        table_rows([make_record(cases=TWO)], (metric, 0.9))


def test_rows_are_json_even_where_a_case_diverged(make_record):
    record = make_record(
        cases=TWO[:1], change=lambda row: row | {"loss": math.inf, "grad_norm_sq": math.nan}
    )
    rows = table_rows([record], ("train_accuracy", 2.0))
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]["loss"] is None
    assert rows[0]["grad_norm_sq"] is None


def test_loss_and_accuracy_are_the_last_ones_measured(make_record):
    spaced = {"loss": math.nan, "train_accuracy": math.nan}
    record = make_record(
        cases=TWO[:1], change=lambda row: row | (spaced if row["round"] % 7 else {})
    )
    (row,), case = table_rows([record], ("loss", 1.0)), record.cases["GD 4x"]
    assert row["rounds"] == 200 and row["loss"] == case["loss"][196]
    assert row["train_accuracy"] == case["train_accuracy"][196]
    assert row["targets"][0]["reached"]["rounds"] % 7 == 0


def test_the_table_fits_100_columns_with_labels_of_any_length(make_record):
    long = [(f"{name} " + "and more " * 12, *rest) for name, *rest in TWO]
    records = [make_record(), make_record("other", cases=long)]
    for chosen in (records[:1], records):
        text = format_table(table_rows(chosen, ("grad_norm_sq", 1e-6)))
        assert max(map(len, text.splitlines())) <= 100


def test_labels_that_would_look_alike_stand_whole_above_their_rows(make_record):
    same = "EF21 " + "and more " * 12
    cases = [(f"{same}{n} {same}", *TWO[1][1:]) for n in (1, 2)]
    lines = format_table(table_rows([make_record(cases=[TWO[0], *cases])])).splitlines()
    assert max(map(len, lines)) <= 100 and "…" not in "".join(lines)
    first = lines.index(next(line for line in lines if line.startswith("EF21")))
    assert "".join(lines[first : first + 3]).replace(" ", "") == cases[0][0].replace(" ", "")
    assert lines[first + 3].split()[0] == "100" and lines[first + 3].startswith(" " * 30)
    assert lines[first - 1].split()[:3] == ["GD", "4x", "200"]


def test_labels_of_36_characters_are_whole(make_record):
    label = "EF21 randk(k=16, contractive) 1024xx"
    text = format_table(table_rows([make_record(cases=[(label, *TWO[1][1:])])]))
    assert len(label) == 36
    assert label in text


def test_bytes_are_kilobytes_in_every_column_and_the_title_says_so(make_record):
    text = format_table(table_rows([make_record(cases=TWO)]))
    assert text.startswith("At the end; KB per worker\n")
    assert text.splitlines()[3].split()[-6:-4] == ["2.70", "51.2"]


def test_several_records_stand_under_their_names(make_record):
    rows = table_rows([make_record("first", cases=TWO), make_record("second", cases=TWO)])
    lines = format_table(rows).splitlines()
    assert lines.index("-- first") + 3 == lines.index("-- second")
    assert [row["record"] for row in rows] == ["first", "first", "second", "second"]


def test_what_is_not_valid_is_marked_and_explained(make_record):
    notes = {"GD 4x": {"valid": False, "reasons": ["replicas differ"], "status": "interrupted"}}
    root = {"timing_valid": False, "timing_reasons": ["4 ranks on 2 cores"]}
    text = format_table(table_rows([make_record(cases=TWO, notes=notes, root=root)]))
    assert "GD 4x* " in text
    assert "* interrupted; not valid: replicas differ (GD 4x)" in text
    assert text.count("~") == 3
    assert text.endswith("~ seconds not valid: 4 ranks on 2 cores")


def test_a_valid_table_has_no_marks(make_record):
    text = format_table(table_rows([make_record(cases=TWO)]))
    assert "*" not in text
    assert "~" not in text


def test_a_case_without_rows_is_a_row_of_dashes(make_record):
    record = make_record(cases=[TWO[0], ("EF21", 18, 0.9, 0.0, -1)])
    rows = table_rows([record], ("loss", 0.2))
    assert rows[1]["rounds"] is None
    assert rows[1]["targets"][0]["reached"] is None
    assert set(format_table(rows).splitlines()[3].split()[1:]) == {"-"}


def test_a_target_that_no_case_reaches_is_shown_as_such(make_record):
    text = format_table(table_rows([make_record(cases=TWO)], ("grad_norm_sq", 1e-30)))
    reached = text.split("\n\n")[1].splitlines()
    assert [line.split()[-1] for line in reached[1:]] == ["rounds", "-", "-"]


def test_a_record_that_ended_before_its_first_row_is_a_table(tmp_path):
    writer = RecordWriter(tmp_path / "early.h5", {"name": "early", "baseline": "GD 4x"})
    writer.close(finished=False)
    assert format_table(table_rows([Record(tmp_path / "early.h5")]))
    writer = RecordWriter(tmp_path / "begun.h5", {"name": "begun", "baseline": "GD 4x"})
    writer.start_case("GD 4x", {"method": "GD", "workers": 20})
    writer.flush(now=True)
    assert "GD 4x" in format_table(table_rows([Record(tmp_path / "begun.h5")]))


def test_modelled_seconds_are_told_and_never_stand_beside_real_ones(make_record, tmp_path, capsys):
    slow = {"throttle": "100 Mbit/s, 50 us"}
    modelled = make_record("slow", TWO, {label: slow for label, *_ in TWO}, change=noiseless)
    text = format_table(table_rows([modelled], ("grad_norm_sq", 1.0)))
    assert "~ seconds are modelled, 100 Mbit/s, 50 us" in text and "~" in text.splitlines()[2]
    real = make_record("real", TWO, change=noiseless)
    rows = table_rows([real, modelled], ("grad_norm_sq", 1.0))
    assert all(row["seconds"] is None for row in rows)
    assert all(row["targets"][0]["reached"]["seconds_ratio"] is None for row in rows)
    text = format_table(rows)
    assert "seconds are left out: some are real and some modelled" in text
    assert "seconds" not in text.splitlines()[1]
    with pytest.raises(UserError, match="seconds cannot be compared: some are real"):
        best_rows([real, modelled], ("grad_norm_sq", 1.0), "seconds")
    (first, _) = median_rows([real, modelled], ("grad_norm_sq", 1.0))[:2]
    assert first["seconds"] is None and first["uplink_bytes"] > 0
    main(["plot", str(real.path), str(modelled.path), "-o", str(tmp_path / "both")])
    names = {path.stem.rsplit("_", 1)[1] for path in (tmp_path / "both").iterdir()}
    assert names == {"uplink", "total", "rounds"}
    assert "figures of seconds are left out" in capsys.readouterr().err
