"""What a target took against an option of the cases: bytes against workers, a line per method."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpi_lowrank.errors import UserError, one_of
from mpi_lowrank.record import Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import Step, best_steps
from mpi_lowrank.report.chosen import fitting
from mpi_lowrank.report.figures import MOST, X_AXES, new_figure, save, stem_of, too_many
from mpi_lowrank.report.formats import flat
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import Target, told_target
from mpi_lowrank.report.verdict import Row
from mpi_lowrank.text.options import COSTS

HEIGHT = 2.7  # inches


def plot_against(
    records: list[Record],
    target: Target,
    option: str,
    costs: tuple[str, ...],
    out: Path,
    glob: str | None = None,
) -> list[Path]:
    """Draw what `target` took, each method at its best step, against an option that is a number.

    A panel per cost, each method at the step that is best by that cost. `glob`: those whose name,
    or a case's label, fits. `out` as in `save`, NAME_OPTION in a folder. Raises UserError for names
    that do not exist, more than MOST methods, and where none of them arrived.
    """
    if unknown := [cost for cost in costs if cost not in COSTS]:
        raise UserError(f"--y {unknown[0]}: allowed is {one_of(list(COSTS), unknown[0])}")
    rows = {cost: _rows(best_steps(records, target, cost), glob) for cost in costs}
    if not any(row["rounds"] is not None for row in rows[costs[0]]):
        raise UserError(f"--best {target[0]}={target[1]:g}: no method reached it")
    drawn = [(cost, lines_of(rows[cost], option)) for cost in costs]
    most = max(len(lines) for _, lines in drawn)
    if most > MOST:
        raise UserError(too_many(most))
    told = told_target(rows[costs[0]])
    with matplotlib.rc_context(style.RC):
        return save(draw(drawn, option, told), out, f"{stem_of(records)}_{option}")


def _rows(steps: list[Step], glob: str | None) -> list[Row]:
    """Those of the steps that fit."""

    def labels(step: Step) -> list[str]:
        return [step.row["name"], *(case.label for case in step.cases)]

    return [step.row for step in fitting(steps, glob, labels)]


def lines_of(rows: list[Row], option: str) -> dict[str, list[Row]]:
    """The rows of each method by name, in the option's order. Checks the option."""
    known = list(dict.fromkeys(key for row in rows for key in flat(row)))
    numbers = [key for key in known if any(_is_number(flat(row).get(key)) for row in rows)]
    if option not in numbers:
        raise UserError(f"--x {option}: allowed is {one_of([*COSTS, *numbers], option)}")
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: flat(row).get(option) or 0):
        lines.setdefault(row["name"], []).append(row)
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def draw(drawn: list[tuple[str, dict[str, list[Row]]]], option: str, told: str) -> Figure:
    """The figure: names stand behind the ends of their lines in the last panel."""
    figure = new_figure(HEIGHT)
    one_unit = all(cost.endswith("bytes") for cost, _ in drawn)
    panels = figure.subplots(1, len(drawn), sharey=one_unit, squeeze=False)[0]
    for axes, (cost, lines) in zip(panels, drawn, strict=True):
        _draw_panel(axes, cost, lines, option)
    panels[0].set_title(drawable(told), loc="left")
    figure.draw_without_rendering()
    _name_ends(panels[-1], *drawn[-1], option)
    return figure


def _draw_panel(axes: Axes, cost: str, lines: dict[str, list[Row]], option: str) -> None:
    for rows, look in zip(lines.values(), _looks(lines).values(), strict=True):
        axes.plot(*_points(rows, option, cost), **look.keywords())
    ticks = sorted({flat(row)[option] for rows in lines.values() for row in rows})
    positive = all(tick > 0 for tick in ticks)
    axes.set(xscale="log" if positive else "linear", yscale="log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlabel=option, ylabel=next(axis.label for axis in X_AXES if axis.key == cost))


def _looks(lines: dict[str, list[Row]]) -> dict[str, style.Line]:
    """A line per method, the baseline's in black."""
    looks = {name: style.line(number) for number, name in enumerate(lines)}
    return looks | {name: style.BASELINE for name, rows in lines.items() if rows[0]["baseline"]}


def _points(rows: list[Row], option: str, cost: str) -> tuple[np.ndarray, np.ndarray]:
    """The medians of what arrived, in the unit of its axis."""
    unit = 1e3 if cost.endswith("bytes") else 1.0
    told = [(flat(row)[option], row[cost] / unit) for row in rows if row[cost] is not None]
    return np.array([x for x, _ in told]), np.array([y for _, y in told])


def _name_ends(axes: Axes, cost: str, lines: dict[str, list[Row]], option: str) -> None:
    """The names to the right of the panel, in the order of the lines' ends, none over another."""
    ends = {name: _points(rows, option, cost)[1] for name, rows in lines.items()}
    low, high = np.log(axes.get_ylim())
    heights = {n: (np.log(y[-1]) - low) / (high - low) if len(y) else 1.0 for n, y in ends.items()}
    order = sorted(heights, key=lambda name: heights[name])
    placed = [heights[order[0]]]
    step = style.LABEL_STEP / (HEIGHT - 0.7)
    for _, name in pairwise(order):
        placed.append(max(heights[name], placed[-1] + step))
    looks = _looks(lines)
    for name, height in zip(order, placed, strict=True):
        sample = Line2D([1.03, 1.07, 1.11], [height] * 3, markevery=[1], **looks[name].keywords())
        sample.set(transform=axes.transAxes, clip_on=False)
        axes.add_artist(sample)
        text = drawable(name) + ("" if len(ends[name]) else " (never)")
        place: dict[str, Any] = {"xy": (1.14, height), "xycoords": "axes fraction", "va": "center"}
        axes.annotate(text, color=looks[name].color, fontsize=style.LABEL_SIZE, **place)
