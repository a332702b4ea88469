"""How few bytes in how many rounds: the figure of `frontier.toml`.

    python bench/frontier.py results/frontier.h5 --plot results/frontier.png

Every operator stands at the step of its grid whose median uplink over the seeds is least. The
figure has a mark per operator, at the best of its shapes, and one for GD with Nesterov's momentum
and for L-BFGS, which send whole gradients; from the record alone.
"""

import argparse
import re
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mpi_lowrank.record import Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import best_rows
from mpi_lowrank.report.table import read_target

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
REFERENCE = {"marker": "^", "facecolors": "0.35", "edgecolors": "0.35"}
"""The mark of methods that compress nothing."""


def short(compressor: str) -> str:
    """A label without the shape: svd(rank=2,shape=7x16)+natural is "svd 2 + natural"."""
    plain = _without_shape(compressor)
    stages = [re.split(r"[(),]", stage) for stage in plain.split("+")]
    words = ([name, *(option.rpartition("=")[2] for option in rest)] for name, *rest in stages)
    text = " + ".join(" ".join(filter(None, stage)) for stage in words)
    return text.replace("_", " ").replace("contractive", "scaled")


def best_shapes(rows: list[dict]) -> list[dict]:
    """Of rows that differ in the shape alone, the one with the least uplink."""
    best = {}
    for row in sorted(rows, key=lambda row: row["uplink_bytes"]):
        best.setdefault(_without_shape(row["compressor"]), row)
    return list(best.values())


def references(rows: list[dict]) -> dict[str, dict]:
    """Of GD with momentum and of L-BFGS the row with the least uplink, by its label."""
    best: dict[str, dict] = {}
    for row in sorted(rows, key=lambda row: row["uplink_bytes"]):
        if row["method"].startswith("L-BFGS") or (row["method"] == "GD" and row["step"]):
            best.setdefault(row["method"].partition("(")[0], row)
    labels = {"GD": "GD, Nesterov {}", "L-BFGS": "L-BFGS, memory {}"}
    return {labels[name].format(_number(row)): row for name, row in best.items()}


def _number(row):
    """The one option of its step rule or method."""
    return re.search(r"=([\d.]+)\)", row["step"] or row["method"])[1]


def _without_shape(compressor):
    return re.sub(r",?shape=[\dx]+", "", compressor)


def draw(rows: list[dict]) -> Figure:
    """Uplink and total bytes per worker against rounds, one panel above the other."""
    reached = [row for row in rows if row["rounds"] is not None]
    marks = best_shapes([row for row in reached if row["method"].startswith("EF21")])
    gd, whole = next((row for row in reached if row["baseline"]), None), references(reached)
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.TWO_COLUMNS, 8.4), dpi=200, layout="constrained")
        panels = figure.subplots(2, 1)
        for axes, cost, title in (
            (panels[0], "uplink_bytes", "uplink: what a worker sends"),
            (panels[1], "total_bytes", "uplink + downlink: Allreduced sums return once"),
        ):
            _panel(axes, marks, gd, cost)
            for label, row in whole.items():
                at = row["rounds"], row[cost] / 1e3
                axes.scatter(*at, 26, zorder=3, **REFERENCE)
                _label(axes, label, at, "0.25")
            axes.set(title=title, xlabel="rounds to the target", ylabel="KB per worker")
        place = {"loc": "outside upper center", "ncols": 4, "frameon": False}
        figure.legend(handles=_legend(), fontsize=style.LABEL_SIZE, **place)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # what the labels were placed in stays
        for axes in panels:
            _place_labels(axes, renderer)
    return figure


def _panel(axes, marks, gd, cost):
    axes.set(xscale="log", yscale="log")
    for row in marks:
        kind = row["family"]
        marker, colour = MARKERS.get(kind, "v"), style.FAMILIES.get(kind, style.OTHER)
        whole = kind != "factors of signs and zeros" and kind != "a few bits of each"
        face = "white" if whole and FULL_NUMBERS.match(row["compressor"]) else colour
        at = row["rounds"], row[cost] / 1e3
        size = 60 if marker == "*" else 26
        axes.scatter(*at, size, face, marker=marker, edgecolors=colour, linewidths=0.9, zorder=3)
        _label(axes, short(row["compressor"]), at, colour)
    if gd is not None:
        line = {"color": "0.35", "linestyle": (0, (4, 2)), "linewidth": 0.9, "zorder": 1}
        axes.axhline(gd[cost] / 1e3, **line)
        axes.axvline(gd["rounds"], **line)
        at = gd["rounds"], gd[cost] / 1e3
        _label(axes, "GD float32", at, "0.25")
    numbers = matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(matplotlib.ticker.LogLocator(10, (1, 2, 5)))
        axis.set_major_formatter(numbers)
        axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.margins(0.09, 0.05)


def _label(axes, text, at, colour):
    axes.annotate(text, at, color=colour, fontsize=5.8).set_in_layout(False)


def _legend():
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker=marker, color=style.FAMILIES[name], ls="", label=name, ms=5)
        for name, marker in MARKERS.items()
    ]
    grey = {"marker": "^", "color": "0.35", "linestyle": "", "markersize": 5}
    marks.append(Line2D([], [], label="whole gradients, for reference", **grey))
    hollow = {"marker": "o", "color": "0.3", "markerfacecolor": "white", "linestyle": ""}
    return [*marks, Line2D([], [], label="hollow: numbers of 32 bits", markersize=5, **hollow)]


def _place_labels(axes, renderer):
    """Put each label beside its mark where it covers no mark and no other label."""
    to_pixels, frame = axes.transData.transform, axes.get_window_extent(renderer)
    point = renderer.points_to_pixels(1)
    taken = [_box(*to_pixels(t.xy), 3.5 * point, 3.5 * point) for t in axes.texts]
    for text in sorted(axes.texts, key=lambda text: text.xy[1]):
        extent = text.get_window_extent(renderer)
        x, y = to_pixels(text.xy)
        half = extent.width / 2 + point, extent.height / 2
        chosen = min(
            (_box(x + dx, y + dy, *half) for dx, dy in _offsets(*half, point)),
            key=lambda box: _covered(box, taken, frame),
        )
        taken.append(chosen)
        _move(axes, text, chosen, point)


def _box(x, y, half_width, half_height):
    return Bbox.from_extents(x - half_width, y - half_height, x + half_width, y + half_height)


def _offsets(half_width, half_height, point):
    """Middles of a label about its mark, the nearest first."""
    found = []
    for step, angle in product(range(7), np.linspace(0, 2 * np.pi, 24, endpoint=False)):
        gap = (4.5 + 5 * step) * point
        found.append(
            (np.cos(angle) * (half_width + gap), np.sin(angle) * (half_height + gap)),
        )
    return found


def _covered(box, taken, frame):
    """The area of what is taken that a label would cover; outside the frame is worst."""
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    shared = (Bbox.intersection(box, other) for other in taken)
    return sum(s.width * s.height for s in shared if s is not None) + (0 if inside else 1e9)


def _move(axes, text, box, point):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    parser.add_argument("--target", default="grad_norm_sq=1e-6", metavar="METRIC=VALUE")
    parser.add_argument("--plot", type=Path, metavar="FILE", required=True)
    options = parser.parse_args()
    records, target = [Record(path) for path in options.records], options.target
    rows = best_rows(records, read_target("--target", target), "uplink_bytes")
    shown = [row for row in rows if "g0=dense" not in row["method"]]
    draw(shown).savefig(options.plot, dpi=200)


if __name__ == "__main__":
    main()
