"""One figure of medians over starts: the gradient against bytes, and the bytes at a target."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import METRICS, Case, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.chosen import fitting
from mpi_lowrank.report.figures import save, stem_of
from mpi_lowrank.report.medians import grouped_cases, median_rows
from mpi_lowrank.report.numbers import short
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.verdict import Row, case_note

METRIC = "grad_norm_sq"
WITHOUT_FEEDBACK = "DCGD"
QUARTILES = (0.25, 0.5, 0.75)
GRID = 600  # points of a curve
PANEL = 2.3  # inches that the curves are high
LEAST = 1e-9  # KB per worker: less is none
STEP = 0.128  # inches from one name to the next
HEAD, FOOT = 0.06, 0.42  # inches above the names, and of the axis below them
LEFT = 0.56  # inches
WRAP = 140  # characters of the caption's line
CAPTION = (
    "Lines: median over {starts} of the least reached so far; bands: first to third quartile. "
    "Colour: kind of compressor. Solid: with error feedback, or GD; dashed: without. Named below: "
    "what reaches the target, with the median of the KB it takes; above: what does not reach it."
)


class Line(NamedTuple):
    """A group of cases as it is drawn."""

    row: Row
    cases: list[Case]
    keywords: dict[str, Any]

    @property
    def arrives(self) -> bool:
        return self.row["rounds"] is not None

    @property
    def name(self) -> str:
        return drawable(self.row["label"]) + "*" * bool(case_note(self.row))


class Cost(NamedTuple):
    """What a panel's x axis counts, in KB per worker."""

    name: str
    key: str
    values: Callable[[Case], np.ndarray]


class Scale(NamedTuple):
    """Heights in a panel: its curves lie from `target` to `top`, names a factor `step` apart."""

    target: float
    top: float
    step: float


COSTS = (
    Cost("uplink", "uplink_bytes", lambda case: case["uplink_bytes"] / 1e3),
    Cost(
        "uplink + downlink",
        "total_bytes",
        lambda case: (case["uplink_bytes"] + case["downlink_bytes"]) / 1e3,
    ),
)


def plot_medians(
    records: list[Record], target: tuple[str, float], out: Path, glob: str | None = None
) -> list[Path]:
    """Draw the cases of `records`; cases that differ only in their seed are one line.

    The least |grad f|^2 so far against KB per worker; `out` as in `save`, NAME_median in a folder.
    `glob`: the lines whose label, or that of a case, fits. Raises UserError for a target that is
    not of grad_norm_sq, and where no rounds are recorded.
    """
    if target[0] != METRIC:
        raise UserError(f"target {target[0]!r}: the figure of medians shows {METRIC} alone")
    lines = fitting(_lines(records, target), glob, _labels)
    if not lines:
        raise UserError(f"{', '.join(str(r.path) for r in records)}: no rounds are recorded yet")
    with matplotlib.rc_context(style.RC):
        return save(draw(lines, target[1]), out, f"{stem_of(records)}_median")


def _lines(records: list[Record], target: tuple[str, float]) -> list[Line]:
    groups = grouped_cases(records)
    begun = {key: [case for case in cases if _is_curve(case)] for key, cases in groups.items()}
    return [
        Line(row, begun[row["record"], row["label"]], _keywords(row))
        for row in median_rows(records, target)
        if begun[row["record"], row["label"]]
    ]


def _labels(line: Line) -> list[str]:
    return [line.row["label"], *(case.label for case in line.cases)]


def _is_curve(case: Case) -> bool:
    """Whether the case has rounds that sent bytes, and a gradient at its start."""
    sent, total = (cost.values(case) for cost in COSTS)
    measured = np.isfinite(case[METRIC]) & (case[METRIC] > 0)
    return len(case) > 1 and bool(min(sent[-1], total[-1]) > LEAST and measured[0])


def _keywords(row: Row) -> dict[str, Any]:
    """The family's colour; dashes for methods without error feedback."""
    color = style.FAMILIES.get(row["family"], style.OTHER)
    if str(row["method"]).startswith(WITHOUT_FEEDBACK):
        return {"color": color, "linestyle": (0, (3.2, 1.4)), "linewidth": 1.0}
    return {"color": color, "linestyle": "-", "linewidth": 1.4}


def draw(lines: list[Line], target: float) -> Figure:
    """The figure: uplink to the left, all traffic to the right.

    Below the target stand the names of what reaches it, each under its crossing, and above the
    curves the names of what does not, each over its curve's end: none can cover another.
    """
    arriving = sum(line.arrives for line in lines)
    below, above = STEP * (arriving + 0.7), STEP * (len(lines) - arriving + 0.6)
    told = _caption(lines)
    foot = FOOT + style.NOTE_STEP * (len(told) + 0.6)
    height = HEAD + above + PANEL + below + foot
    figure = Figure(figsize=(style.TWO_COLUMNS, height))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    left = LEFT / style.TWO_COLUMNS
    figure.subplots_adjust(left, foot / height, 0.985, 1 - HEAD / height, wspace=0.05)
    figure.text(left, 0.07 / height, "\n".join(told), fontsize=style.NOTE_SIZE, color="0.2")
    heights = np.concatenate([case[METRIC] for line in lines for case in line.cases])
    top = 1.3 * max(heights[np.isfinite(heights)].max(), target)
    decades = np.log10(top / target) / PANEL  # an inch
    scale = Scale(target, top, 10 ** (decades * STEP))
    for axes, cost in zip(panels, COSTS, strict=True):
        axes.set(xscale="log", yscale="log", xlabel=f"KB per worker, {cost.name}")
        axes.set_ylim(target / 10 ** (decades * below), top * 10 ** (decades * above))
        _draw_panel(axes, lines, cost, scale)
        _frame(axes, scale)
    _name_heights(panels[0], scale)
    return figure


def _caption(lines: list[Line]) -> list[str]:
    counts = sorted({line.row["starts"] for line in lines})
    starts = " to ".join(str(count) for count in (counts[:1] + counts[1:][-1:]))
    starts += " start" if counts == [1] else " starts"
    notes = [f"* {line.name[:-1]}: {case_note(line.row)}" for line in lines if line.name[-1] == "*"]
    told = [CAPTION.format(starts=starts), *map(drawable, notes)]
    return [piece for text in told for piece in textwrap.wrap(text, WRAP)]


def _draw_panel(axes: Axes, lines: list[Line], cost: Cost, scale: Scale) -> None:
    ends = [_draw_line(axes, line, cost, scale.target) for line in lines]
    axes.axhline(scale.target, color="0.25", linewidth=0.6, zorder=1)
    ordered = sorted(zip(ends, lines, strict=True), key=lambda pair: pair[0][0])
    under = [(end, line) for end, line in ordered if line.arrives]
    over = [(end, line) for end, line in ordered if not line.arrives]
    for number, (end, line) in enumerate(under, start=1):
        text = f"{line.name}  {short(end[0])} KB"
        _name(axes, text, line.keywords["color"], end, scale.target / scale.step**number)
    for number, (end, line) in enumerate(over):
        height = scale.top * scale.step ** (number + 0.6)
        _name(axes, line.name, line.keywords["color"], end, height)
    _make_room(axes)


def _make_room(axes: Axes) -> None:
    """Move the panel's left end so far out that all names lie within."""
    frame, right = axes.get_window_extent(), np.log10(axes.get_xlim()[1])
    lowest = np.log10(axes.get_xlim()[0])
    for text in (text for text in axes.texts if isinstance(text, Annotation)):
        share = (text.get_window_extent().width + 6) / frame.width
        if share < 1:
            lowest = min(lowest, (np.log10(text.xy[0]) - right * share) / (1 - share))
    axes.set_xlim(10.0**lowest)


def _draw_line(axes: Axes, line: Line, cost: Cost, target: float) -> tuple[float, float]:
    """Draw the median and its band; return where the median ends."""
    x, (low, middle, high) = curve(line.cases, cost, target)
    axes.fill_between(x, low, high, color=line.keywords["color"], alpha=0.13, linewidth=0)
    if line.arrives:
        crossing = max(line.row[cost.key] / 1e3, x[0])  # no start is at zero bytes here
        before = x < crossing
        x, middle = np.append(x[before], crossing), np.append(middle[before], target)
    axes.plot(x, middle, zorder=3, **line.keywords)
    return x[-1], middle[-1]


def curve(cases: list[Case], cost: Cost, target: float) -> tuple[np.ndarray, np.ndarray]:
    """KB per worker (GRID,), and quartiles over starts (3, GRID) of the least |grad f|^2 by then.

    Values below the target are drawn at it. If a start has not reached the target, the curve ends
    where that start ends, because its least is unknown beyond.
    """
    spent = [cost.values(case) for case in cases]
    least = [np.maximum(np.fmin.accumulate(case[METRIC]), 0) for case in cases]
    short_of_it = [x[-1] for x, y in zip(spent, least, strict=True) if y[-1] > target]
    end = min(short_of_it, default=max(x[-1] for x in spent))
    grid = np.geomspace(min(x[x > LEAST][0] for x in spent), end, GRID)
    by_then = [
        y[np.searchsorted(x, grid, side="right") - 1] for x, y in zip(spent, least, strict=True)
    ]
    return grid, np.maximum(np.quantile(by_then, QUARTILES, axis=0), target)


def _name(axes: Axes, text: str, color: str, end: tuple[float, float], height: float) -> None:
    """Write a line's name at a height, and draw a thin line to the end of its curve."""
    axes.plot(*end, "o", color=color, markersize=2.6, zorder=4)
    axes.plot([end[0]] * 2, [end[1], height], color=color, linewidth=0.5, zorder=2)
    place: dict[str, Any] = {
        "xytext": (-2.5, 0),
        "textcoords": "offset points",
        "ha": "right",
        "va": "center",
    }
    axes.annotate(text, (end[0], height), color=color, fontsize=style.LABEL_SIZE, **place)


def _frame(axes: Axes, scale: Scale) -> None:
    """Limit axis, ticks and grid to the curves' part of the panel."""
    powers = np.arange(np.ceil(np.log10(scale.target) - 1e-9), np.log10(scale.top))
    axes.set_yticks(10.0**powers)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(False)
    axes.spines["left"].set_bounds(scale.target, scale.top)
    across: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "color": "0.88",
        "linewidth": 0.5,
    }
    axes.hlines(10.0**powers, 0, 1, zorder=0, **across)
    place: dict[str, Any] = {
        "xytext": (0, -1.5),
        "textcoords": "offset points",
        "ha": "right",
        "va": "top",
    }
    at: dict[str, Any] = {"xy": (1, scale.target), "xycoords": axes.get_yaxis_transform()}
    axes.annotate("target", color="0.25", fontsize=style.NOTE_SIZE, **at, **place)


def _name_heights(axes: Axes, scale: Scale) -> None:
    low, high = np.log10(axes.get_ylim())
    middle = (np.log10(scale.target * scale.top) / 2 - low) / (high - low)
    axes.set_ylabel(f"least {METRICS[METRIC].label} so far")
    axes.yaxis.set_label_coords(-0.125, middle)
