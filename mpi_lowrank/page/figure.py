"""The figures that are there without JavaScript: each method at its best step, as SVG."""

import io
import re

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from mpi_lowrank.page.stops import shown_metrics
from mpi_lowrank.record import Metric
from mpi_lowrank.report import frontier, style
from mpi_lowrank.report.best import Step
from mpi_lowrank.report.curves import AXES, Group, Spread, ceiling_of, draw_panel, limit
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import Target, is_recorded
from mpi_lowrank.report.verdict import Row

MOST = 12
"""Curves that can be told apart."""
PLACE = (0.09, 0.36, 0.89, 0.62)
"""Left, bottom, width and height of the panel: the names stand below it."""
EXTREMES = Spread((0.0, 0.5, 1.0), 150)
PATH, DECIMALS = re.compile(r' d="[^"]*"'), re.compile(r"(\.\d\d)\d+")
"""Of a path's numbers the first two decimals: nobody sees more of a point."""
TEXT = {"svg.fonttype": "none"}
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def svg(steps: list[Step], target: Target, lines: dict[str, style.Line]) -> str:
    """Of each step the metric of the target against the bytes: the median, least and most of seeds.

    Drawn are the first MOST steps, and the baseline. `lines`: by the names of methods.
    """
    known = [step for step in steps if is_recorded(step.cases[0], target[0])]
    drawn = [step for n, step in enumerate(known) if n < MOST or step.row["baseline"]]
    metric = shown_metrics([case for step in steps for case in step.cases])[target[0]]
    with matplotlib.rc_context(style.RC | TEXT):
        return _as_text(_drawn(drawn, metric, target[1], lines))


def _drawn(
    steps: list[Step], metric: Metric, target: float, lines: dict[str, style.Line]
) -> Figure:
    figure = Figure(figsize=(style.TWO_COLUMNS, 4.8))
    FigureCanvasAgg(figure)
    ax = figure.add_axes(PLACE)
    log = metric.scale == "decades"
    percent = metric.scale == "percent"
    ax.set(ylabel=drawable(metric.name) + " (%)" * percent)
    ax.set_xlabel("uplink + downlink per worker (KB)")
    groups = [Group(step.row["name"], step.row, step.cases) for step in steps]
    draw_panel(ax, groups, lines, AXES["total_bytes"], metric, EXTREMES)
    limit([ax], ceiling_of(groups, metric), log)
    handles, names = list(ax.lines), [drawable(str(line.get_gid())) for line in ax.lines]
    ax.axhline(100 * target if percent else target, color="0.5", linewidth=0.8, linestyle=":")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    figure.legend(
        handles, names, loc="lower center", ncols=2, frameon=False, fontsize=style.LABEL_SIZE
    )
    return figure


def frontier_svg(rows: list[Row]) -> str:
    """Of the rows of one setting those that arrive: bytes against rounds to the target, or ""."""
    costs = ("rounds", *frontier.TITLES)
    arrived = [row for row in rows if all(row[cost] for cost in costs)]  # what a log axis can show
    drawn = [row | {"compressor": row["compressor"] or row["name"]} for row in arrived]
    with matplotlib.rc_context(style.RC | TEXT):
        return _as_text(frontier.draw(drawn)) if drawn else ""


def _as_text(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=NOTHING)
    text = PATH.sub(lambda path: DECIMALS.sub(r"\1", path[0]), drawn.getvalue())
    return text[text.index("<svg") :]
