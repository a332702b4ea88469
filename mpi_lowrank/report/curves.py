"""Figures of chosen cases: a cost against a metric, a panel per setting, seeds as a band."""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import Case, Metric, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import best_steps
from mpi_lowrank.report.chosen import fitting
from mpi_lowrank.report.figures import (
    MOST,
    X_AXES,
    Curve,
    XAxis,
    annotate,
    limits,
    modelled,
    new_figure,
    points,
    save,
    spaced_marks,
    stem_of,
    too_many,
)
from mpi_lowrank.report.formats import flat
from mpi_lowrank.report.medians import shared_row, start_free
from mpi_lowrank.report.parameters import spelled
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import Target, all_metrics, is_recorded, table_rows
from mpi_lowrank.report.verdict import Row, case_note, check_seconds, timing_note

FAR = 1e300
"""What stands for an infinity, between which and a number a quartile may lie."""
COLUMNS = 3  # panels side by side
PANEL_HEIGHT = 2.2  # inches


class Spread(NamedTuple):
    """What is drawn of seeds: quantiles, at `places` along the axis, or up to twice as many."""

    quantiles: tuple[float, float, float]
    places: int


QUARTILES = Spread((0.25, 0.5, 0.75), 600)

AXES = {axis.key: axis for axis in X_AXES}


class View(NamedTuple):
    """What a figure shows. Keys are those of `formats.flat`."""

    x: str = "uplink_bytes"
    y: str = "grad_norm_sq"
    panels: tuple[str, ...] = ()
    color: str | None = None
    labels: tuple[str, ...] = ()


class Group(NamedTuple):
    """Cases that differ in their seed alone, and what they have in common."""

    label: str
    row: Row
    cases: list[Case]


def plot_curves(
    records: list[Record],
    view: View,
    out: Path,
    glob: str | None = None,
    best: tuple[Target, str] | None = None,
) -> list[Path]:
    """Draw the chosen cases into `out`; cases that differ in their seed alone are one curve.

    The median over seeds and a band from the first to the third quartile; from a seed's end on its
    last value stands. `glob`: those whose label fits. `best`, a target and a cost: each method at
    its best step. `out` is a file (.png, .pdf, .svg), or a folder for NAME_Y_X.png and .pdf. Raises
    UserError for names that do not exist, and for more than MOST curves.
    """
    groups = chosen(together(records) if best is None else at_best(records, *best), view, glob)
    if len({group.label for group in groups}) > MOST:
        raise UserError(too_many(len(groups)))
    if view.x not in AXES:
        raise UserError(
            f"--x {view.x}: allowed is {one_of(AXES, view.x)}, or an option with --best"
        )
    if AXES[view.x].timing:
        check_seconds(records)
    with matplotlib.rc_context(style.RC):
        return save(draw(groups, view), out, f"{stem_of(records)}_{view.y}_{view.x}")


def together(records: list[Record]) -> list[Group]:
    """The cases of the records, those that differ in their seed alone together."""
    cases = [case for record in records for case in record.cases.values()]
    found: dict[tuple, list[tuple[Row, Case]]] = {}
    for row, case in zip(table_rows(records), cases, strict=True):
        found.setdefault((row["record"], start_free(row["label"], row["seed"])), []).append(
            (row, case)
        )
    several = len(records) > 1
    return [
        Group(f"{record}: {label}" if several else label, shared_row(rows), list(members))
        for (record, label), pairs in found.items()
        for rows, members in [tuple(zip(*pairs, strict=True))]
    ]


def at_best(records: list[Record], target: Target, by: str) -> list[Group]:
    """Each method of each setting at its best step."""
    steps = best_steps(records, target, by)
    return [Group(f"{step.row['name']} {step.row['stepsize']}", *step) for step in steps]


def chosen(groups: list[Group], view: View, glob: str | None) -> list[Group]:
    """The groups that fit and have begun, labelled as the view says. Checks the view's names."""
    named = fitting(groups, glob, lambda group: [case.label for case in group.cases])
    begun = [group for group in named if any(len(case) for case in group.cases)]
    if not begun:
        raise UserError("no rounds are recorded yet")
    known = list(dict.fromkeys(key for group in begun for key in flat(group.row)))
    asked = [("--panels", view.panels), ("--labels", view.labels), ("--color", (view.color,))]
    for option, key in [(option, key) for option, keys in asked for key in keys if key]:
        if key not in known:
            raise UserError(f"{option} {key}: allowed is {one_of(known, key)}")
    return [_labelled(group, view.labels) for group in begun]


def _labelled(group: Group, keys: tuple[str, ...]) -> Group:
    told = flat(group.row)
    return group._replace(label=" ".join(spelled(told.get(k)) for k in keys)) if keys else group


def metric_of(groups: list[Group], name: str) -> Metric:
    """The metric that a figure shows. Raises UserError for one that nobody recorded."""
    cases = [case for group in groups for case in group.cases]
    recorded = {
        n: m for n, m in all_metrics(cases).items() if any(is_recorded(c, n) for c in cases)
    }
    if name not in recorded:
        raise UserError(f"--y {name}: recorded is {one_of(recorded, name)}")
    return recorded[name]


def draw(groups: list[Group], view: View) -> Figure:
    """The figure: a panel per value of `view.panels`, one look per label in all of them."""
    axis, metric = AXES[view.x], metric_of(groups, view.y)
    panels: dict[tuple, list[Group]] = {}
    for group in groups:
        panels.setdefault(_values(group, view.panels), []).append(group)
    looks = _looks(groups, view.color)
    wide = min(len(panels), COLUMNS)
    high = -(-len(panels) // wide)
    figure = new_figure(max(PANEL_HEIGHT * high + 0.4, 0.3 + style.LABEL_STEP * len(looks)))
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (values, members) in zip(grid.flat, panels.items(), strict=False):
        draw_panel(axes, members, looks, axis, metric)
        axes.set_title(_title(view.panels, values), loc="left")
    limit(list(grid.flat[: len(panels)]), ceiling_of(groups, metric), metric.scale == "decades")
    for axes in grid[:, 0]:
        axes.set_ylabel(metric.label)
    for axes in grid.flat[max(0, len(panels) - wide) : len(panels)]:
        axes.set_xlabel(axis.label + (modelled(groups[0].cases[0]) if axis.timing else ""))
        axes.tick_params(labelbottom=True)  # where panels are shared, those below may be none
    last = list(grid.flat)[min(wide, len(panels)) - 1]
    _name_curves(figure, last, groups, looks, axis, metric)
    return figure


def _values(group: Group, keys: tuple[str, ...]) -> tuple:
    told = flat(group.row)
    return tuple(spelled(told.get(key)) for key in keys)


def _title(keys: tuple[str, ...], values: tuple) -> str:
    return drawable(", ".join(f"{k} {v}" for k, v in zip(keys, values, strict=True)))


def _looks(groups: list[Group], color: str | None) -> dict[str, style.Line]:
    """A line per label; with `color`, the colour is that of the key's value."""
    labels = dict.fromkeys(group.label for group in groups)
    looks = {label: style.line(number) for number, label in enumerate(labels)}
    looks |= {group.label: style.BASELINE for group in groups if group.row["baseline"]}
    if color is None:
        return looks
    told = {group.label: _values(group, (color,)) for group in groups}
    values = list(dict.fromkeys(told.values()))
    return {
        label: look._replace(color=style.COLORS[values.index(told[label]) % len(style.COLORS)])
        for label, look in looks.items()
    }


def draw_panel(
    axes: Axes,
    groups: list[Group],
    looks: dict[str, style.Line],
    axis: XAxis,
    metric: Metric,
    spread: Spread = QUARTILES,
) -> None:
    """Each group's median, whose `gid` is its label, and of several seeds the band around it."""
    log = metric.scale == "decades"
    axes.set(xscale="log" if axis.log else "linear", yscale="log" if log else "linear")
    top, numbers = 1e3 * ceiling_of(groups, metric), list(looks)
    for group in groups:
        look, number = looks[group.label], numbers.index(group.label)
        x, band = curve(group.cases, axis, metric, spread)
        low, middle, high = np.minimum(band, top)  # out of sight, and still a number to Matplotlib
        if len(group.cases) > 1:
            kept = (x > 0) | (not axis.log)
            around = x[kept], low[kept], high[kept]
            axes.fill_between(*around, color=look.color, alpha=0.15, linewidth=0)
        x, y = points(x, middle, axis.log, log)
        if len(x):
            marks = spaced_marks(np.log(x) if axis.log else x, number)
            (line,) = axes.plot(x, y, zorder=3 - number / 100, **look.keywords())
            line.set(markevery=marks, gid=group.label)


def ceiling_of(groups: list[Group], metric: Metric) -> float:
    """Ten times the highest start of a metric that falls: what diverges leaves the panel there."""
    starts = [
        case[metric.name][:1] for g in groups for case in g.cases if metric.name in case.metrics
    ]
    found = np.concatenate([*starts, np.empty(0)])
    found = found[np.isfinite(found) & (found > 0)]
    return 10 * found.max() if metric.falls and len(found) else np.inf


def limit(panels: list[Axes], ceiling: float, log: bool) -> None:
    """Cut the panels at the ceiling where a curve leaves them."""
    shown = np.concatenate([y for ax in panels for y in map(_heights, ax.lines)] or [np.empty(0)])
    if max(ax.dataLim.y1 for ax in panels) > ceiling and (shown <= ceiling).any():
        panels[0].set_ylim(limits(shown[shown <= ceiling], log))


def _heights(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


def curve(
    cases: list[Case],
    axis: XAxis,
    metric: Metric,
    spread: Spread = QUARTILES,
) -> tuple[np.ndarray, np.ndarray]:
    """Of some seeds: positions along the axis, and quantiles of the metric there (3, ...).

    What diverged is at FAR from there on. One seed is as it was recorded.
    """
    factor = 100 if metric.scale == "percent" else 1
    told = [(axis.values(case), factor * _column(case, metric)) for case in cases if len(case)]
    told = [(x[~np.isnan(y)], y[~np.isnan(y)]) for x, y in told]
    told = [(x, y) for x, y in told if len(x)]
    if len(told) < 2:
        x, y = told[0] if told else (np.empty(0), np.empty(0))
        return x, np.tile(y, (3, 1))
    first, last = max(x[0] for x, _ in told), max(x[-1] for x, _ in told)
    grid = np.unique(np.concatenate([x for x, _ in told]))
    grid = grid[(grid >= first) & (grid <= last)]
    grid = grid[:: max(1, len(grid) // spread.places)] if len(grid) else np.array([last])
    values = [y[np.searchsorted(x, grid, side="right") - 1] for x, y in told]
    return grid, np.quantile(np.clip(values, -FAR, FAR), spread.quantiles, axis=0)


def _column(case: Case, metric: Metric) -> np.ndarray:
    """The metric as it was measured; infinity, or minus that, where a case has diverged."""
    column = case[metric.name].copy() if metric.name in case.metrics else np.full(len(case), np.nan)
    if case.attributes.get("status") == "diverged" and len(column) and np.isnan(column[-1]):
        column[-1] = np.inf if metric.falls else -np.inf
    return column


def _name_curves(
    figure: Figure,
    last: Axes,
    groups: list[Group],
    looks: dict[str, style.Line],
    axis: XAxis,
    metric: Metric,
) -> None:
    """The names beside the upper right panel, each near to where its curve ends there."""
    named: dict[str, Curve] = {}
    ends: dict[str, np.ndarray] = {}
    drawn = {line.get_gid(): _heights(line) for line in last.lines}
    for group in groups:
        notes = drawable(case_note(group.row)), drawable(timing_note(group.row))
        look = looks[group.label]
        named.setdefault(group.label, Curve(drawable(group.label), group.cases[0], look, *notes))
        ends.setdefault(group.label, drawn.get(group.label, np.empty(0)))
    annotate(figure, last, list(named.values()), list(ends.values()), axis.timing)
