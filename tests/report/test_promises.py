"""The figure of what theorems promise is made of the columns, where a record has them."""

import matplotlib
import numpy as np
import pytest

from mpi_lowrank.record import THEORY, Record, RecordWriter
from mpi_lowrank.report import figures, style
from mpi_lowrank.report.promises import draw, mean_so_far, plot_promises
from mpi_lowrank.report.table import format_table, table_rows

ROUNDS = np.arange(50)
SHOWN = {"GD": {}, "EF21 topk(k=2) 1x": {"alpha": 0.02}, "EF14 topk(k=2) 1x": {"alpha": 0.02}}


def rows(theorem, linear):
    for t in ROUNDS.tolist():
        yield {
            "round": t,
            "seconds": t,
            "grad_norm_sq": 0.9**t,
            "realised_alpha": 0.1 if t > 1 else np.nan,
            "realised_alpha_mean": 0.2 if t > 1 else np.nan,
            "estimate_error": 0.8**t if theorem else np.nan,
            "lyapunov": 0.95**t if theorem else np.nan,
            "grad_bound": 30 / t if theorem and t else np.nan,
            "linear_lyapunov": 6 * 0.9**t if linear else np.nan,
            "linear_bound": 6 * 0.95**t if linear else np.nan,
            "uplink_bytes": 9 * t,
            "downlink_bytes": 9 * t,
        }


def written(tmp_path, linear):
    writer = RecordWriter(tmp_path / "some.h5", {"name": "some", "baseline": "GD"})
    for label, attributes in SHOWN.items():
        writer.start_case(label, attributes, THEORY.values())
        for row in rows(not label.startswith("EF14"), linear and label == "GD"):
            writer.append(row)
    writer.start_case("silent", {})
    writer.append({"round": 0, "seconds": 0, "uplink_bytes": 0, "downlink_bytes": 0})
    writer.close()
    return Record(tmp_path / "some.h5")


@pytest.fixture
def record(tmp_path):
    return written(tmp_path, linear=False)


def test_where_rounds_have_no_row_their_mean_is_not_known():
    case = {"round": np.array([0, 1, 4]), "grad_norm_sq": np.array([4.0, 2.0, 1.0])}
    np.testing.assert_array_equal(mean_so_far(case), [np.nan, 4.0, np.nan])


def drawn(record):
    curves = [c for c in figures.all_curves([record]) if c.label in SHOWN]
    with matplotlib.rc_context(style.RC):
        return draw(curves)


@pytest.fixture
def panels(record):
    return drawn(record)


def test_measured_and_promised_are_the_columns(record, panels):
    gradient, error, alpha = panels.axes
    ef21 = record.cases["EF21 topk(k=2) 1x"]
    measured, bound = gradient.lines[2:4]
    np.testing.assert_allclose(measured.get_ydata(), mean_so_far(ef21)[1:])
    assert mean_so_far(ef21)[3] == pytest.approx((1 + 0.9 + 0.81) / 3)
    np.testing.assert_array_equal(bound.get_ydata(), ef21["grad_bound"][1:])
    np.testing.assert_array_equal(error.lines[1].get_ydata(), ef21["estimate_error"][1:])
    heights = [set(line.get_ydata()) for line in alpha.lines]
    assert heights == [{0.1}, {0.1}, {0.02}, {0.1}, {0.02}]
    assert [len(ax.lines) for ax in panels.axes] == [5, 2, 5]  # EF14 has no bound and no G


def test_a_linear_rate_has_a_panel_of_its_own_that_starts_at_1(tmp_path):
    linear = drawn(written(tmp_path, linear=True)).axes[2]
    measured, bound = linear.lines
    np.testing.assert_allclose(measured.get_ydata(), 0.9**ROUNDS)
    np.testing.assert_allclose(bound.get_ydata(), 0.95**ROUNDS)
    assert (linear.get_xscale(), linear.get_yscale()) == ("linear", "log")


def test_the_lines_are_told_apart_and_named(panels):
    gradient, _, alpha = panels.axes
    measured, bound = gradient.lines[2:4]
    assert measured.get_color() == bound.get_color()
    assert measured.get_linestyle() == "-" and bound.get_linestyle() != "-"
    assert {text.get_text().rstrip("*") for text in panels.texts} >= SHOWN.keys()
    titles = [ax.get_title(loc="left") for ax in panels.axes]
    assert all("dotted" in title for title in (titles[0], titles[2]))
    assert alpha.get_ylim()[0] < 0.02


def test_it_is_drawn_where_a_case_has_them_and_stays_out_of_the_other_figures(record, tmp_path):
    names = [path.name for path in plot_promises([record], tmp_path)]
    assert names == ["some_theory.png", "some_theory.pdf"]
    shown = figures._draw_curves(figures.all_curves([record]), figures.X_AXES[0])
    assert len(shown.axes) == 3
    table_of = table_rows([record], ("estimate_error", 0.5))
    assert table_of[1]["targets"][0]["reached"]["rounds"] == 4  # 0.8^4
    assert "Lyapunov" not in format_table(table_of)


def test_a_record_without_them_has_no_such_figure(tmp_path):
    writer = RecordWriter(tmp_path / "plain.h5", {"name": "plain"})
    writer.start_case("GD", {})
    writer.append({"round": 0, "seconds": 0, "uplink_bytes": 0, "downlink_bytes": 0})
    writer.close()
    assert plot_promises([Record(tmp_path / "plain.h5")], tmp_path / "new") == []
    assert not (tmp_path / "new").exists()
