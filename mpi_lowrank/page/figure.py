"""The figure that is there without JavaScript: each method at its best step, as SVG."""

import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from mpi_lowrank.page.stops import shown_metrics
from mpi_lowrank.record import Case, Metric
from mpi_lowrank.report import style
from mpi_lowrank.report.best import Step
from mpi_lowrank.report.figures import points
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import Target, is_recorded

MOST = 12
"""Curves that can be told apart."""
AXES = (0.09, 0.36, 0.89, 0.62)
"""Left, bottom, width and height of the panel: the names stand below it."""
TEXT = {"svg.fonttype": "none"}
NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def svg(steps: list[Step], target: Target, lines: dict[str, style.Line]) -> str:
    """One seed of each step: the metric of the target against the bytes.

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
    ax = figure.add_axes(AXES)
    log = metric.scale == "decades"
    ax.set(xscale="log", yscale="log" if log else "linear", ylabel=drawable(metric.name))
    ax.set_xlabel("uplink + downlink per worker (KB)")
    for step in steps:
        name = step.row["name"]
        x, y = points(_kilobytes(step.cases[0]), step.cases[0][metric.name], True, log)
        look = lines[name].keywords() | {"marker": ""}
        ax.plot(x, y, label=drawable(name), **look)
    ax.axhline(target, color="0.5", linewidth=0.8, linestyle=":")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    figure.legend(loc="lower center", ncols=2, frameon=False, fontsize=style.LABEL_SIZE)
    return figure


def _kilobytes(case: Case) -> np.ndarray:
    total: np.ndarray = (case["uplink_bytes"] + case["downlink_bytes"]) / 1e3
    return total


def _as_text(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=NOTHING)
    text = drawn.getvalue()
    return text[text.index("<svg") :]
