"""The frontier of a real run: its best steps, and a figure whose labels fit."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from mpi_lowrank.compressors import compressors
from mpi_lowrank.record import Record
from mpi_lowrank.report import frontier, style
from mpi_lowrank.report.best import best_rows

TARGET = "grad_norm_sq", 0.1
CASES = """
workers = 4
rounds = 60
seed = [0, 1, 2]
stop = { grad_norm_sq = 0.1 }
stepsize = ["0.02/L", "2/L", "4/L"]
[[cases]]
method = "GD"
compressor = "dense"
[[cases]]
method = { name = "EF21", g0 = "compressed" }
compressor = [
    { name = "topk", k = 4 },
    { compose = ["topk:k=4", "natural"] },
    { name = "kronecker", shape = [7, 16] },
    { name = "kronecker", shape = [14, 8] },
    { name = "sdd", rank = 2 },
]
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory, mpirun):
    folder = tmp_path_factory.mktemp("best")
    (folder / "some.toml").write_text(CASES)
    program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]
    subprocess.run([mpirun, "-n", "1", *program], cwd=folder, check=True, timeout=100)
    return Record(folder / "some.h5")


def uplinks(record, method, compressor):
    """The uplink bytes to the target, of each seed at each step; infinite if never reached."""
    found = {}
    for case in record.cases.values():
        given = case.attributes
        if (given["method"], given["compressor"]) == (method, compressor):
            met = np.flatnonzero(case["grad_norm_sq"] <= TARGET[1])
            cost = case["uplink_bytes"][met[0]] if len(met) else np.inf
            found.setdefault(f"{given['stepsize'] * given['L']:.3g}/L", []).append(cost)
    return found


@pytest.fixture
def rows(record):
    return best_rows([record], TARGET, "uplink_bytes")


def test_the_step_of_least_median_uplink_stands_for_a_method(rows, record):
    assert len(rows) == 6
    for row in rows:
        steps = uplinks(record, row["method"], row["compressor"])
        medians = {step: np.median(costs) for step, costs in steps.items()}
        assert all(len(costs) == 3 for costs in steps.values()) and len(steps) == 3
        assert medians[row["stepsize"]] == min(medians.values()) == row["uplink_bytes"]
        spread = row["uplink_bytes_least"], row["uplink_bytes_most"] or np.inf
        assert spread == (min(steps[row["stepsize"]]), max(steps[row["stepsize"]]))
        assert np.isinf(medians["0.02/L"]) and row["arrived"] >= 2


def test_a_mark_an_operator_at_the_best_of_its_shapes_with_labels_that_do_not_overlap(rows):
    figure = frontier.draw(rows)
    for axes in figure.axes:
        texts = [text.get_text() for text in axes.texts]
        kronecker = [text for text in texts if "kronecker" in text]
        assert len(texts) == 5 and len(kronecker) == 1 and "GD + dense" in texts
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        frame = axes.get_window_extent()
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_a_mark_s_colour_is_of_the_family_that_the_record_names(rows):
    families = {row["compressor"]: row["family"] for row in rows}
    assert families["dense"] == "everything whole" and families["topk(k=4)"] == "some coordinates"
    drawn = {text.get_text(): text.get_color() for text in frontier.draw(rows).axes[0].texts}
    assert drawn["topk 4 + natural"] == style.FAMILIES["some coordinates"]
    assert drawn["kronecker"] == drawn["sdd 2"] == style.FAMILIES["factors of signs and zeros"]


def test_what_sends_whole_gradients_is_a_reference_the_cheapest_of_each_kind(rows):
    base = next(row for row in rows if row["baseline"]) | {"baseline": False}
    given = [
        ("L-BFGS(memory=5)", None),
        ("L-BFGS(memory=50)", None),
        ("GD", "nesterov"),
        ("GD", None),
    ]
    others = [
        base | {"method": method, "step": step, "uplink_bytes": 9.0 - number}
        for number, (method, step) in enumerate(given)
    ]
    found = frontier.references([*rows, *others])
    assert [(row["method"], row["step"]) for row in found] == [given[2], given[1]]
    labels = [text.get_text() for text in frontier.draw([*rows, *others]).axes[0].texts]
    assert {"GD nesterov", "L-BFGS(memory=50)"} <= set(labels)


def test_every_compressor_is_of_a_family_that_has_a_colour():
    assert {compressors[name].family for name in compressors.names()} == set(style.FAMILIES)
    assert compressors["twosided"].family == compressors["powersgd"].family == "factors, Allreduced"
    assert compressors["kronecker"].family == "factors of signs and zeros"


@pytest.mark.parametrize(
    ("compressor", "label"),
    [
        ("svd(rank=2,shape=7x16)+natural", "svd 2 + natural"),
        ("kronecker(shape=7x16)", "kronecker"),
        ("topk(k=4)", "topk 4"),
        ("natural", "natural"),
        ("ternary(rounding=contractive)", "ternary scaled"),
        ("powersgd(basis=fresh)", "powersgd fresh"),
    ],
)
def test_what_a_mark_is_called(compressor, label):
    assert frontier.short(compressor) == label
