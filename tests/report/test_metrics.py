"""Each metric, declared once, is recorded, stops a case, and stands in tables and figures."""

from dataclasses import fields

import numpy as np
import pytest

from mpi_lowrank.config import parse
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import COLUMNS, METRICS
from mpi_lowrank.report import figures
from mpi_lowrank.report.medians import median_rows
from mpi_lowrank.report.table import format_table, table_rows
from mpi_lowrank.run.evaluation import Measures

CASES = [("GD 4x", 896, 0.9, 0.0, 60)]
EVERY = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@pytest.fixture
def record(make_record):
    return make_record(cases=CASES, change=lambda row: row | {"test_accuracy": 0.5})


def settings(stop):
    return f'[[cases]]\nmethod = "GD"\ndata.test_fraction = 0.5\nstop = {{{stop}}}'


@EVERY
def test_a_metric_is_a_column_and_what_an_evaluation_measures(metric, record):
    assert COLUMNS[metric.name].meaning == metric.meaning
    assert COLUMNS[metric.name].units == metric.units == record.cases["GD 4x"].units[metric.name]
    assert metric.name in {spec.name for spec in fields(Measures)}


@EVERY
def test_a_case_can_stop_at_a_metric(metric):
    assert parse(settings(f"{metric.name} = 0.5"), "a.toml").cases[0].stop == {metric.name: 0.5}
    measures = Measures(0.5, 0.5, 0.5, 0.5, 1.0)
    assert measures.reaches(metric.name, 0.5)
    assert measures.reaches(metric.name, 0.6) == metric.falls
    assert measures.reaches(metric.name, 0.4) != metric.falls


@EVERY
def test_a_metric_is_a_target_and_a_heading_of_the_table(metric, record):
    values = record.cases["GD 4x"][metric.name]
    target = metric.name, float(values[-1])
    text = format_table(table_rows([record], target))
    assert metric.heading in text.splitlines()[1]
    assert f"To {metric.name} {metric.sign} " in text
    (row,) = median_rows([record], target)
    assert row["arrived"] == 1
    assert row["lowest"] == (values.min() if metric.falls else values.max())


@EVERY
def test_a_metric_has_a_panel_of_every_figure(metric, record):
    figure = figures._draw_curves(figures.all_curves([record]), figures.X_AXES[0])
    shown = [ax for ax in figure.axes if ax.get_title(loc="left").endswith(metric.label)]
    assert len(shown) == 1
    drawn = shown[0].lines[0].get_ydata()
    hidden = metric.name == "train_accuracy"  # behind that of the held-out rows
    factor = 100 if metric.scale == "percent" else 1
    assert np.isin(factor * record.cases["GD 4x"][metric.name], drawn).all() != hidden


def test_a_metric_that_does_not_exist_suggests_the_nearest(record):
    with pytest.raises(UserError, match="did you mean grad_norm_sq"):
        parse(settings("grad_norm = 1e-6"), "a.toml")
    with pytest.raises(UserError, match="did you mean train_accuracy"):
        table_rows([record], ("train_acuracy", 0.9))
