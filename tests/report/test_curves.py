"""Figures of chosen cases: what stands on which axis, in which panel, and how often."""

import numpy as np
import pytest
from test_best import TARGET, written

from mpi_lowrank.cli import main
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Record
from mpi_lowrank.report import against, curves, style
from mpi_lowrank.report.best import best_rows
from mpi_lowrank.report.curves import AXES, View
from mpi_lowrank.report.figures import MOST


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Methods with grids of steps and three seeds, on 4 and on 8 workers."""
    return written(tmp_path_factory.mktemp("curves") / "some.h5", settings=(4, 8))


def drawn(record, view, glob=None, best=None):
    groups = curves.together([record]) if best is None else curves.at_best([record], *best)
    return curves.draw(curves.chosen(groups, view, glob), view)


def panel(figure, title):
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return {line.get_gid(): line for line in axes.lines}, axes


def test_a_curve_is_the_median_over_seeds_with_quartiles_as_its_band(record):
    view = View(x="rounds")
    (group,) = curves.chosen(curves.together([record]), view, "4 EF21 allgather 8/L *")
    metric = curves.metric_of([group], "grad_norm_sq")
    x, (low, middle, high) = curves.curve(group.cases, AXES["rounds"], metric)
    columns = np.array([case["grad_norm_sq"] for case in group.cases])
    np.testing.assert_array_equal(x, np.arange(61))
    np.testing.assert_allclose(middle, np.median(columns, axis=0))
    np.testing.assert_allclose(low, np.quantile(columns, 0.25, axis=0))
    np.testing.assert_allclose(high, np.quantile(columns, 0.75, axis=0))


def test_where_a_seed_ends_its_last_value_stands_and_what_diverged_is_far(record):
    cases = list(Record(record.path).cases.values())[:2]
    short = cases[0]
    short._columns = {name: column[:5].copy() for name, column in short._columns.items()}
    metric = curves.metric_of(curves.together([record]), "grad_norm_sq")
    x, (_, middle, _) = curves.curve(cases, AXES["rounds"], metric)
    assert x[-1] == 60 and middle[30] == np.median([short["grad_norm_sq"][-1], 0.5])
    short._columns["grad_norm_sq"][-1] = np.nan
    short.attributes["status"] = "diverged"
    _, (_, middle, high) = curves.curve([*cases, cases[1]], AXES["rounds"], metric)
    assert middle[30] == 0.5 and high[30] > 1e200


def test_each_setting_has_its_panel_and_each_method_one_look(record):
    view = View("total_bytes", "grad_norm_sq", ("workers",), None, ("method", "topology"))
    figure = drawn(record, view, best=(TARGET, "total_bytes"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["workers 4", "workers 8"]
    first, second = (panel(figure, f"workers {n}")[0] for n in (4, 8))
    assert set(first) == set(second) and "EF21 server" in first and len(first) == 4
    for label, line in first.items():
        other = second[label]
        look = line.get_color(), line.get_linestyle(), line.get_marker()
        assert look == (other.get_color(), other.get_linestyle(), other.get_marker())
    assert first["GD allgather"].get_color() == style.BASELINE.color
    ratio = second["EF21 server"].get_xdata()[1] / first["EF21 server"].get_xdata()[1]
    assert ratio == 2 and figure.axes[0].get_xscale() == "log"


def test_a_colour_can_be_an_option_s(record):
    figure = drawn(record, View("rounds", color="topology"), "4 EF21 *")
    (axes,) = figure.axes
    colours = {line.get_gid(): line.get_color() for line in axes.lines}
    assert len(colours) == 5 and len(set(colours.values())) == 2
    assert len({line.get_marker() for line in axes.lines}) == 5


def test_beyond_a_dozen_it_says_what_to_choose(record, tmp_path):
    with pytest.raises(UserError, match=f"20 curves: a figure shows {MOST}; choose with --cases"):
        curves.plot_curves([record], View(), tmp_path)
    assert main(["plot", str(record.path), "-o", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


FORMATS = [("png", b"PNG"), ("pdf", b"%PDF"), ("svg", b"<svg")]


@pytest.mark.parametrize(("ending", "begins"), FORMATS)
def test_a_file_is_of_the_format_that_its_name_says(record, tmp_path, ending, begins):
    command = ["plot", str(record.path), "--cases", "4 GD *", "-o"]
    out = tmp_path / "new" / f"a.{ending}"
    assert main([*command, str(out), "--x", "rounds"]) == 0
    assert begins in out.read_bytes()[:2000]
    assert main([*command, str(out)]) == 2


def test_the_same_record_gives_the_same_svg(record, tmp_path):
    command = ["plot", str(record.path), "--cases", "4 GD *", "--x", "rounds", "--out"]
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    assert [main([*command, str(path)]) for path in paths] == [0, 0]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_a_target_took_stands_against_an_option(record):
    rows = best_rows([record], TARGET, "total_bytes")
    lines = against.lines_of(rows, "workers")
    figure = against.draw([("total_bytes", lines)], "workers", "To it")
    (axes,) = figure.axes
    curves_of = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert [list(line.get_xdata()) for line in curves_of] == [[4, 8]] * 3
    gd = next(row for row in rows if row["baseline"])
    assert curves_of[0].get_ydata()[0] == gd["total_bytes"] / 1e3
    texts = [text.get_text() for text in axes.texts]
    assert "DCGD + c (never)" in texts and len(texts) == 4
    heights = sorted(text.get_window_extent().y0 for text in axes.texts)
    assert min(np.diff(heights)) > 8
    for second, alike in (("uplink_bytes", True), ("rounds", False)):
        left, right = against.draw(
            [(c, lines) for c in ("total_bytes", second)], "workers", ""
        ).axes
        assert left.get_shared_y_axes().joined(left, right) == alike


def test_what_a_target_took_is_drawn_of_chosen_methods(record, tmp_path, capsys):
    command = ["plot", str(record.path), "--best", "grad_norm_sq=0.5", "--x", "workers", "--cases"]
    out = tmp_path / "made.svg"
    assert main([*command, "* GD *", "-o", str(out)]) == 0
    drawn = out.read_text()
    assert "<!-- GD" in drawn and "<!-- EF21" not in drawn
    for glob, told in (("EF22 *", "none fits of"), ("* DCGD *", "no method reached it")):
        assert main([*command, glob, "-o", str(out)]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--x", "round"], "did you mean rounds?"),
        (["--y", "grad_norm"], "--y grad_norm: recorded is"),
        (["--panels", "worker"], "did you mean workers?"),
        (["--labels", "method,k"], "--labels k: allowed is"),
        (["--cases", "EF22 *", "--x", "rounds"], "--cases EF22 *: none fits"),
        (["--best", "grad_norm_sq=0.5", "--x", "worker"], "did you mean workers?"),
        (["--best", "grad_norm_sq=0.5", "--x", "workers", "--y", "round"], "did you mean rounds?"),
        (["--best", "grad_norm_sq"], "expected METRIC=NUMBER"),
        (["--frontier", "grad_norm_sq=1e-9"], "no method reached it"),
    ],
)
def test_a_name_that_does_not_exist_is_one_line(record, capsys, options, told):
    assert main(["plot", str(record.path), "--cases", "4 GD *", *options]) == 2
    assert told in capsys.readouterr().err
