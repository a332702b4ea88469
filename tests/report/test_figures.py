import subprocess
import sys
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi_lowrank.errors import UserError
from mpi_lowrank.report import figures
from mpi_lowrank.report.figures import plot

TWO = [("GD 4x", 896, 0.9, 0.0, 60), ("EF21 topk(k=2) 256x", 18, 0.95, 1e-4, 100)]
NAMES = ("uplink", "total", "rounds", "seconds", "phases")


def drawn(record, name):
    axis = next(axis for axis in figures.X_AXES if axis.name == name)
    return figures._draw_curves(figures.all_curves([record]), axis)


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    return found + [ax.get_xlabel() for ax in figure.axes]


def overlap(figure, boxes):
    boxes = sorted(boxes, key=lambda box: box.y0)
    return any(low.y1 > high.y0 for low, high in pairwise(boxes))


def test_every_figure_is_a_png_and_a_pdf_named_after_the_record(make_record, tmp_path):
    paths = plot([make_record(cases=TWO)], tmp_path / "new" / "folder")
    expected = [f"mushrooms_{name}.{end}" for name in NAMES for end in ("png", "pdf")]
    assert [path.name for path in paths] == expected
    for png, pdf in zip(paths[::2], paths[1::2], strict=True):
        assert matplotlib.image.imread(png).std() > 0.05
        assert pdf.read_bytes().startswith(b"%PDF")


def test_the_same_record_gives_the_same_pdf(make_record, tmp_path):
    record = make_record(cases=TWO)
    pairs = [figures.save(drawn(record, "uplink"), tmp_path, name) for name in "ab"]
    assert pairs[0][1].read_bytes() == pairs[1][1].read_bytes()


def test_several_records_share_one_set_of_figures(make_record, tmp_path):
    records = [make_record("a", cases=TWO), make_record("b", cases=TWO)]
    assert plot(records, tmp_path)[0].name == "a+b_uplink.png"
    labels = [curve.label for curve in figures.all_curves(records)]
    assert labels[0] == "a: GD 4x"
    assert labels[-1] == "b: EF21 topk(k=2) 256x"


def test_the_axes_of_bytes_are_logarithmic_and_start_at_the_first_byte(make_record):
    figure = drawn(make_record(cases=TWO, dense_start=False), "uplink")
    for ax in figure.axes:
        assert ax.get_xscale() == "log"
        assert all(line.get_xdata().min() > 0 for line in ax.lines)
    assert figure.axes[1].get_xlabel() == "KB per worker, uplink"


def test_curves_are_the_records_numbers(make_record):
    record = make_record(cases=TWO)
    figure = drawn(record, "total")
    case = record.cases["GD 4x"]
    x, y = figure.axes[2].lines[0].get_data()
    np.testing.assert_allclose(x, (case["uplink_bytes"] + case["downlink_bytes"]) / 1e3)
    np.testing.assert_array_equal(y, case["grad_norm_sq"])


def test_curves_join_the_rows_in_which_loss_was_measured(make_record):
    spaced = {"loss": np.nan, "train_accuracy": np.nan}
    record = make_record(cases=TWO, change=lambda row: row | (spaced if row["round"] % 7 else {}))
    case = record.cases["GD 4x"]
    measured = case["round"] % 7 == 0
    for ax in drawn(record, "rounds").axes[:2]:
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), case["round"][measured])
        assert np.isfinite(ax.lines[0].get_ydata()).all()


def test_test_accuracy_is_drawn_where_there_is_one(make_record):
    record = make_record(cases=TWO, change=lambda row: row | {"test_accuracy": 0.5})
    figure = drawn(record, "rounds")
    assert figure.axes[0].get_title(loc="left") == "test accuracy (%)"
    assert set(figure.axes[0].lines[0].get_ydata()) == {50.0}


def test_labels_do_not_overlap_and_stay_inside_the_page(make_record):
    many = [(f"case number {n} of a sweep", 18, 0.9, 0.0, 40) for n in range(30)]
    for cases in (TWO, many):
        figure = drawn(make_record(f"r{len(cases)}", cases=cases), "uplink")
        boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
        labels = boxes[: len(cases)]
        assert not overlap(figure, labels)
        assert max(box.x1 for box in labels) <= figure.bbox.x1
        assert min(box.y0 for box in labels) >= 0
        assert max(box.y1 for box in labels) <= figure.bbox.y1


def test_the_first_28_lines_differ_without_colour():
    lines = [figures.style.line(number) for number in range(28)]
    assert len({(str(line.linestyle), line.marker) for line in lines}) == 28


def test_a_case_that_diverges_leaves_the_others_to_be_seen(make_record):
    rising = ("DCGD 64x", 18, 0.9, 0.0, 100)
    record = make_record(
        cases=[TWO[0], rising],
        change=lambda row: (
            row
            if row["uplink_bytes"] % 896 == 0
            else row | {"loss": 1e3 ** row["round"], "grad_norm_sq": 1e3 ** row["round"]}
        ),
    )
    for ax in drawn(record, "rounds").axes[1:]:
        low, high = ax.get_ylim()
        assert high < 1e4
        assert low < ax.lines[0].get_ydata().min()


def test_what_is_not_valid_is_marked_on_every_figure(make_record):
    notes = {"GD 4x": {"valid": False, "reasons": ["replicas differ"]}}
    for name in NAMES[:4]:
        found = texts(drawn(make_record(f"r{name}", cases=TWO, notes=notes), name))
        assert "GD 4x*" in found
        assert "* GD 4x: not valid: replicas differ" in found


def test_only_axes_of_seconds_bear_what_is_wrong_with_seconds(make_record):
    root = {"timing_valid": False, "timing_reasons": ["4 ranks on 2 cores"]}
    record = make_record(cases=TWO, root=root)
    assert "~" not in "".join(texts(drawn(record, "uplink")))
    for figure in (drawn(record, "seconds"), figures._draw_phases(figures.all_curves([record]))):
        assert any("(not valid: ~)" in text for text in texts(figure))
    assert "~ seconds not valid: 4 ranks on 2 cores" in texts(drawn(record, "seconds"))


def test_bars_add_up_to_the_mean_over_ranks_of_all_phases_but_evaluation(make_record):
    record = make_record(cases=TWO)
    whole, each = figures._draw_phases(figures.all_curves([record])).axes
    phases = record.cases["GD 4x"].phases
    total = sum(
        phases[name].mean() for name in phases.dtype.names if name not in ("rank", "evaluate")
    )
    ends = [
        max(bar.get_x() + bar.get_width() for bar in ax.patches[:: len(TWO)])
        for ax in (whole, each)
    ]
    np.testing.assert_allclose(ends, [total, 1e3 * total / 60])


def test_a_record_without_rounds_is_an_error(make_record, tmp_path):
    with pytest.raises(UserError, match="no rounds are recorded yet"):
        plot([make_record(cases=[("GD 4x", 896, 0.9, 0.0, -1)])], tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_columns_that_cannot_be_drawn_do_not_stop_the_others(make_record, value):
    odd = dict.fromkeys(("loss", "grad_norm_sq", "train_accuracy"), value)
    odd["seconds"] = value if value == 0 else np.nan
    record = make_record(cases=TWO, change=lambda row: row | odd)
    for name in ("uplink", "seconds"):
        assert len(drawn(record, name).axes) == 3


def test_a_case_without_rows_is_named_and_stops_no_other(make_record, tmp_path):
    record = make_record(cases=[TWO[0], ("EF21", 18, 0.9, 0.0, -1)])
    assert len(drawn(record, "uplink").axes[0].lines) == 1
    assert "EF21" in texts(drawn(record, "uplink"))
    assert len(plot([record], tmp_path)) == 10


@given(st.integers(1, 20_000), st.booleans(), st.integers(0, 2**32))
def test_a_thinned_curve_keeps_its_ends_and_the_extremes_of_each_bucket(count, log, seed):
    y = np.random.default_rng(seed).standard_normal(count)
    x = figures._position(np.arange(1.0, count + 1), log)
    shown = figures._thin(x, y)
    assert len(shown) <= 4 * (figures.BUCKETS + 1)
    assert (np.diff(shown) > 0).all()
    assert {0, count - 1, int(y.argmin()), int(y.argmax())} <= set(shown.tolist())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_labels_are_spread_in_order_and_inside(heights):
    heights, gap = np.array(heights), 1 / 20
    placed = figures._spread(heights, gap)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(placed[order]) >= gap * (1 - 1e-9)).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9


def test_plotting_needs_no_display_and_no_pyplot(make_record, tmp_path):
    record = make_record(cases=TWO)
    code = (
        "import sys; from pathlib import Path; from mpi_lowrank.record import Record;"
        "from mpi_lowrank.report.figures import plot;"
        f"plot([Record({str(record.path)!r})], Path({str(tmp_path)!r}));"
        "assert not {'matplotlib.pyplot', 'mpi4py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
