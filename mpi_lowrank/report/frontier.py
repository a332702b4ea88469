"""How few bytes in how many rounds: each operator at its best step, and the baseline's lines."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import best_rows
from mpi_lowrank.report.chosen import fits
from mpi_lowrank.report.figures import save, stem_of
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.style import WHOLE
from mpi_lowrank.report.table import Target
from mpi_lowrank.report.verdict import Row

MARKERS = {
    "two factors": "D",
    "factors of signs and zeros": "*",
    "several factors": "P",
    "factors, Allreduced": "X",
    "some coordinates": "o",
    "a few bits of each": "s",
}
"""A family's marker, in the family's colour; filled where numbers travel as fewer than 32 bits."""
FULL_NUMBERS = re.compile(r"[a-z_]+(\([^)]*\))?$")


def plot_frontier(
    records: list[Record], target: Target, out: Path, glob: str | None = None
) -> list[Path]:
    """Draw every operator's KB per worker to the target against its rounds: NAME_frontier.

    Each method that compresses has a mark at the step of least median uplink, and at the best of
    its shapes, one that sends whole gradients a grey one; the baseline is two lines. `glob`: of
    what compresses, those whose name fits. `out` as in `save`. Raises UserError where none arrived.
    """
    rows = best_rows(records, target, "uplink_bytes")
    rows = [row for row in rows if row["family"] == WHOLE or fits(row["name"], glob)]
    if not any(row["rounds"] is not None and row["family"] != WHOLE for row in rows):
        raise UserError(f"--frontier {target[0]}={target[1]:g}: no method reached it")
    with matplotlib.rc_context(style.RC):
        return save(draw(rows), out, f"{stem_of(records)}_frontier")


def short(compressor: str) -> str:
    """A label without the shape: svd(rank=2,shape=7x16)+natural is "svd 2 + natural"."""
    plain = _without_shape(compressor)
    stages = [re.split(r"[(),]", stage) for stage in plain.split("+")]
    words = ([name, *(option.rpartition("=")[2] for option in rest)] for name, *rest in stages)
    text = " + ".join(" ".join(filter(None, stage)) for stage in words)
    return text.replace("_", " ").replace("contractive", "scaled")


def best_shapes(rows: list[Row]) -> list[Row]:
    """Of rows that differ in the shape alone, the one with the least uplink."""
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["uplink_bytes"]):
        best.setdefault((row["method"], _without_shape(row["compressor"])), row)
    return list(best.values())


def references(rows: list[Row]) -> list[Row]:
    """Of each method and step rule that sends whole gradients, but the baseline's, the cheapest."""
    base = next((_rule(row) for row in rows if row["baseline"]), None)
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["uplink_bytes"]):
        if row["family"] == WHOLE and _rule(row) != base:
            best.setdefault(_rule(row), row)
    return list(best.values())


def _rule(row: Row) -> tuple[str, str]:
    """The method and its step rule without their options."""
    method, step = (str(row.get(key) or "").partition("(")[0] for key in ("method", "step"))
    return method, step


def _without_shape(compressor: str) -> str:
    return re.sub(r",?shape=[\dx]+", "", compressor)


def draw(rows: list[Row]) -> Figure:
    """Uplink and total bytes per worker against rounds, one panel above the other."""
    reached = [row for row in rows if row["rounds"] is not None]
    marks = best_shapes([row for row in reached if row["family"] != WHOLE and not row["baseline"]])
    whole = references(reached)
    gd = next((row for row in reached if row["baseline"]), None)
    figure = Figure(figsize=(style.TWO_COLUMNS, 8.4), dpi=200, layout="constrained")
    panels = figure.subplots(2, 1)
    for axes, (cost, title) in zip(panels, TITLES.items(), strict=True):
        _panel(axes, marks, gd, cost)
        for row in whole:
            at = row["rounds"], row[cost] / 1e3
            axes.scatter(*at, 26, "0.35", marker="^", edgecolors="0.35", zorder=3)
            _label(axes, f"{row['method']} {row.get('step') or ''}".rstrip(), at, "0.25")
        axes.set(title=title, xlabel="rounds to the target", ylabel="KB per worker")
    place: dict[str, Any] = {"loc": "outside upper center", "ncols": 4, "frameon": False}
    figure.legend(handles=_legend(), fontsize=style.LABEL_SIZE, **place)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what the labels were placed in stays
    for axes in panels:
        _place_labels(axes, renderer)
    return figure


TITLES = {
    "uplink_bytes": "uplink: what a worker sends",
    "total_bytes": "uplink + downlink: Allreduced sums return once",
}


def _panel(axes: Axes, marks: list[Row], base: Row | None, cost: str) -> None:
    axes.set(xscale="log", yscale="log")
    several = len({row["method"] for row in marks}) > 1
    for row in marks:
        _mark(axes, row, cost, f"{row['method']} " if several else "")
    if base is not None:
        _mark_base(axes, base, cost)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(0.09, 0.05)


def _mark(axes: Axes, row: Row, cost: str, method: str) -> None:
    kind = str(row["family"])
    marker, colour = MARKERS.get(kind, "v"), style.FAMILIES.get(kind, style.OTHER)
    whole = kind not in ("factors of signs and zeros", "a few bits of each")
    face = "white" if whole and FULL_NUMBERS.match(row["compressor"]) else colour
    at = row["rounds"], row[cost] / 1e3
    size = 60 if marker == "*" else 26
    axes.scatter(*at, size, face, marker=marker, edgecolors=colour, linewidths=0.9, zorder=3)
    _label(axes, method + short(row["compressor"]), at, colour)


def _mark_base(axes: Axes, base: Row, cost: str) -> None:
    line: dict[str, Any] = {"color": "0.35", "linestyle": (0, (4, 2)), "linewidth": 0.9}
    at = base["rounds"], base[cost] / 1e3
    axes.axvline(at[0], zorder=1, **line)
    axes.axhline(at[1], zorder=1, **line)
    _label(axes, base["name"], at, "0.25")


def _label(axes: Axes, text: str, at: tuple[float, float], colour: str) -> None:
    axes.annotate(drawable(text), at, color=colour, fontsize=5.8).set_in_layout(False)


def _legend() -> list[Line2D]:
    marks = [
        Line2D([], [], marker=marker, color=style.FAMILIES[name], ls="", label=name, ms=5)
        for name, marker in MARKERS.items()
    ]
    grey: dict[str, Any] = {"marker": "^", "color": "0.35", "ls": "", "ms": 5}
    marks.append(Line2D([], [], label="whole gradients, for reference", **grey))
    hollow: dict[str, Any] = {"marker": "o", "color": "0.3", "markerfacecolor": "white", "ls": ""}
    return [*marks, Line2D([], [], label="hollow: numbers of 32 bits", markersize=5, **hollow)]


def _place_labels(axes: Axes, renderer: Any) -> None:
    """Put each label beside its mark where it covers no mark and no other label."""
    labels = [text for text in axes.texts if isinstance(text, Annotation)]
    to_pixels, frame = axes.transData.transform, axes.get_window_extent(renderer)
    point = renderer.points_to_pixels(1)
    taken = _boxes(to_pixels([text.xy for text in labels]), 3.5 * point, 3.5 * point)
    for text in sorted(labels, key=lambda text: text.xy[1]):
        extent = text.get_window_extent(renderer)
        half = extent.width / 2 + point, extent.height / 2
        boxes = _boxes(to_pixels(text.xy) + _offsets(*half, point), *half)
        chosen = boxes[np.argmin(_covered(boxes, taken, frame))]
        taken = np.vstack([taken, chosen])
        _move(axes, text, Bbox.from_extents(*chosen), point)


def _boxes(middles: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """Boxes about middles (n, 2), as (n, 4): x0, y0, x1, y1."""
    half = np.array([half_width, half_height])
    return np.hstack([middles - half, middles + half])


def _offsets(half_width: float, half_height: float, point: float) -> np.ndarray:
    """Middles (n, 2) of a label about its mark, the nearest first."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    gap = (4.5 + 5 * np.repeat(np.arange(7), len(angles))) * point
    around = np.tile([np.cos(angles), np.sin(angles)], 7)
    found: np.ndarray = (around * (np.array([[half_width], [half_height]]) + gap)).T
    return found


def _covered(boxes: np.ndarray, taken: np.ndarray, frame: Bbox) -> np.ndarray:
    """The area of what is taken that each box would cover; outside the frame is worst."""
    low = np.maximum(boxes[:, None, :2], taken[:, :2])
    high = np.minimum(boxes[:, None, 2:], taken[:, 2:])
    area: np.ndarray = np.maximum(high - low, 0).prod(axis=2).sum(axis=1)
    outside = (boxes[:, :2] < frame.min).any(axis=1) | (boxes[:, 2:] > frame.max).any(axis=1)
    return area + 1e9 * outside


def _move(axes: Axes, text: Any, box: Bbox, point: float) -> None:
    """Put a label into a box, with a line from its mark if that is not beside it."""
    to_data = axes.transData.inverted().transform
    text.set(ha="center", va="center", zorder=2.5)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.2})
    text.set_position(to_data(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)))
    mark = axes.transData.transform(text.xy)
    edge = np.clip(mark, box.min, box.max)
    if np.hypot(*(mark - edge)) > 7 * point:
        line = np.array([text.xy, to_data(edge)])
        axes.plot(*line.T, color=text.get_color(), linewidth=0.4, zorder=2)
