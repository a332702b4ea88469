"""What the commands print: some columns, in an order, in a form that another program reads."""

import csv
import io
import json
import re

import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.text.options import FORMATS

CASES = [
    ("GD 4x", 896, 0.9, 0.0, 60),
    ("EF21 a_b 1x", 18, 0.95, 1e-4, 100),
    ("EF21 c|d 2x", 9, 0.93, 1e-4, 90),
]
KEY = {"workers": 20, "rounds": 500, "problem": {"name": "logistic", "lambda": 0.1}}
TARGETS = ["--target", "grad_norm_sq=1", "--target", "loss=0.2"]


@pytest.fixture
def table(make_record, capsys):
    """What the command prints of a record of CASES with their options."""
    notes = {label: {"key": json.dumps(KEY)} for label, *_ in CASES}
    notes["GD 4x"] |= {"valid": False, "reasons": ["replicas of x differ"]}
    path = str(make_record(cases=CASES, notes=notes).path)

    def table(*options, command=("table",)):
        status = main([command[0], path, *command[1:], *options])
        told = capsys.readouterr()
        assert status == (2 if told.err else 0)
        return told.err or told.out

    return table


def test_json_has_every_option_of_a_case_and_every_target(table):
    rows = json.loads(table(*TARGETS, "--format", "json"))
    assert rows == json.loads(table(*TARGETS, "--json"))
    for row in rows:
        told = {"workers": 20, "rounds": 500, "problem": "logistic", "problem.lambda": 0.1}
        assert row["parameters"] == told
        assert [(t["metric"], t["value"]) for t in row["targets"]] == [
            ("grad_norm_sq", 1.0),
            ("loss", 0.2),
        ]
    assert rows[0]["targets"][1]["reached"]["uplink_bytes_ratio"] == 1.0


def test_each_target_has_a_block_and_all_of_it_fits(table):
    lines = table(*TARGETS).splitlines()
    titles = [line for line in lines if line.endswith("KB per worker; base is GD 4x")]
    assert [title.partition(";")[0] for title in titles] == [
        "To grad_norm_sq <= 1",
        "To loss <= 0.2",
    ]
    assert max(map(len, lines)) <= 100


def test_csv_has_the_numbers_of_json_in_full(table):
    rows = json.loads(table(*TARGETS, "--json"))
    told = list(csv.DictReader(io.StringIO(table(*TARGETS, "--format", "csv"))))
    assert [line["label"] for line in told] == [label for label, *_ in CASES]
    for line, row in zip(told, rows, strict=True):
        assert float(line["seconds"]) == row["seconds"] and line["problem.lambda"] == "0.1"
        assert float(line["rounds"]) == row["rounds"]  # those that were run, not those allowed
        assert float(line["reached.seconds"]) == row["targets"][0]["reached"]["seconds"]
        assert float(line["reached2.rounds"]) == row["targets"][1]["reached"]["rounds"]
    assert (told[0]["valid"], told[0]["reasons"]) == ("False", "replicas of x differ")


def test_columns_are_chosen_and_rows_ordered_with_the_best_first(table):
    columns = ("--columns", "problem.lambda,uplink_bytes,train_accuracy,method")
    rows = json.loads(table(*columns, "--json", "--sort", "uplink_bytes"))
    assert list(rows[0]) == [
        *("record", "label", "problem.lambda", "uplink_bytes", "train_accuracy", "method")
    ]
    uplink = [row["uplink_bytes"] for row in rows]
    assert uplink == sorted(uplink) and uplink[0] == 9 * 90 + 896
    accuracy = [
        r["train_accuracy"] for r in json.loads(table("--json", "--sort", "train_accuracy"))
    ]
    assert accuracy == sorted(accuracy, reverse=True)
    lines = table(*columns, "--sort", "method").splitlines()
    assert lines[0].split() == ["case", "problem.lambda", "uplink", "KB", "train", "%", "method"]
    assert [line.split()[0] for line in lines[1:4]] == ["EF21", "EF21", "GD"]
    assert lines[3].split()[1:4] == ["4x*", "0.1", f"{896 * 61 / 1e3:.1f}"]
    assert lines[-1] == "* not valid: replicas of x differ (GD 4x)"


def test_cases_are_chosen_by_their_label_and_keep_their_ratios(table):
    rows = json.loads(table(*TARGETS, "--json", "--cases", "EF21 *"))
    assert [row["label"] for row in rows] == [label for label, *_ in CASES[1:]]
    assert all(row["targets"][0]["reached"]["rounds_ratio"] > 0 for row in rows)
    assert "--cases EF22*: none fits of GD 4x, EF21" in table("--cases", "EF22*")


def test_a_column_that_does_not_exist_names_the_nearest(table):
    assert "--columns uplink_byte: allowed is" in table("--columns", "label,uplink_byte")
    assert "did you mean uplink_bytes?" in table("--sort", "uplink_byte")


def test_markdown_and_latex_have_the_cells_of_the_text(table):
    text = table(*TARGETS[:2]).splitlines()
    cells = [re.split(r"\s{2,}", line)[1:] for line in text[1:5]]
    markdown = [line for line in table(*TARGETS[:2], "--format", "markdown").splitlines() if line]
    grid = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown[1:6]]
    grid = [[cell.strip().replace("\\|", "|") for cell in line] for line in grid]
    assert [line[1:] for line in (grid[0], *grid[2:])] == cells
    assert grid[1] == ["--", *["--:"] * len(cells[0])] and grid[4][0] == "EF21 c|d 2x"
    assert markdown[-1] == "* not valid: replicas of x differ (GD 4x)"
    latex = table(*TARGETS[:2], "--format", "latex").splitlines()
    assert latex[0] == "% At the end; KB per worker"
    assert latex[1] == r"\begin{tabular}{l" + "r" * len(cells[0]) + "}"
    rows = [line.removesuffix(r" \\").split(" & ") for line in latex if line.endswith(r"\\")]
    assert [row[1:5] for row in rows[:4]] == [line[:4] for line in cells]
    assert rows[2][0] == r"EF21 a\_b 1x" and rows[3][0] == r"EF21 c\textbar{}d 2x"
    assert rows[0][-1] == r"train \%"


@pytest.mark.parametrize("form", FORMATS)
def test_medians_and_best_steps_come_in_every_form(table, form):
    for command in ("table", "--median", "loss=0.2"), ("best", "--target", "loss=0.2"):
        told = table("--format", form, command=command)
        assert "EF21" in told and len(told.splitlines()) >= 3
