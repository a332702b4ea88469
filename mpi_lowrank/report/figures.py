"""Figures of records: what a run bought for its bytes, its rounds and its seconds."""

import io
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import METRICS, PHASES, THEORY, Case, Metric, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.chosen import fitting
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import all_metrics, is_recorded, record_names
from mpi_lowrank.report.verdict import case_note, has_seconds, timing_note, validity

FORMATS = ("png", "pdf", "svg")
USUAL = ("png", "pdf")
"""What a folder gets of each figure."""
MOST = 12
"""Curves of a figure: nobody tells more of them apart."""
BUCKETS = 600  # of a curve along x, each drawn by its lowest and highest point
DOUBT = " (not valid: ~)"
WRAP = 130  # characters of a note's line

Values = Callable[[Case], np.ndarray]


class Curve(NamedTuple):
    """One case as it is drawn."""

    label: str
    case: Case
    line: style.Line
    note: str  # why it is not a valid, finished run
    timing: str  # why its seconds mean nothing


class XAxis(NamedTuple):
    """What the cases are compared against: a cost, one of COSTS."""

    key: str
    name: str
    label: str
    values: Values
    log: bool = False
    timing: bool = False


class Panel(NamedTuple):
    """The metrics of one label against the figure's x axis."""

    metrics: tuple[Metric, ...]

    def metric(self, case: Case) -> Metric:
        """What the case shows: the last that it recorded."""
        recorded = (m for m in reversed(self.metrics) if is_recorded(case, m.name))
        return next(recorded, self.metrics[0])

    def values(self, case: Case) -> np.ndarray:
        metric = self.metric(case)
        if metric.name not in case.metrics:
            return np.full(len(case), np.nan)
        return 100 * case[metric.name] if metric.scale == "percent" else case[metric.name]

    def title(self, cases: list[Case]) -> str:
        shown = {self.metric(case) for case in cases}
        variants = " or ".join(m.variant for m in self.metrics if m in shown)
        label = self.metrics[0].label
        return f"{variants} {label if label in FORMULAS else drawable(label)}".lstrip()

    def log(self, shown: list[np.ndarray]) -> bool:
        scale = self.metrics[0].scale
        return scale == "decades" or (scale == "plain" and _spans_decades(shown))


def plot(records: list[Record], folder: Path, glob: str | None = None) -> list[Path]:
    """Draw the cases whose label fits `glob` into `folder`; return the paths, two per figure.

    NAME_uplink, NAME_total, NAME_rounds and NAME_seconds hold accuracy, loss and squared gradient
    norm; NAME_phases shows where the time went. NAME is the record's file name; those of several
    records are joined by "+". The last two are left out where `has_seconds` is false. Raises
    UserError where no rounds are recorded, and for more than MOST cases.
    """
    curves, timed = all_curves(records, glob), has_seconds(records)
    if not any(len(curve.case) for curve in curves):
        raise UserError(f"{', '.join(str(r.path) for r in records)}: no rounds are recorded yet")
    if len(curves) > MOST:
        raise UserError(too_many(len(curves)))
    stem, paths = stem_of(records), []
    with matplotlib.rc_context(style.RC):
        for axis in X_AXES if timed else (axis for axis in X_AXES if not axis.timing):
            paths += save(_draw_curves(curves, axis), folder, f"{stem}_{axis.name}")
        phased = [curve for curve in curves if len(curve.case.phases) and len(curve.case)]
        if timed and phased:
            paths += save(_draw_phases(phased), folder, f"{stem}_phases")
    return paths


def too_many(curves: int) -> str:
    """What to do where there are more curves than a figure can show."""
    choose = "choose with --cases 'EF21 *', --best METRIC=VALUE (each method's best step)"
    return f"{curves} curves: a figure shows {MOST}; {choose} or --median METRIC=VALUE"


def stem_of(records: list[Record]) -> str:
    """What the names of their figures begin with."""
    return re.sub(r"[^\w.+-]+", "_", "+".join(record.path.stem for record in records))


def all_curves(records: list[Record], glob: str | None = None) -> list[Curve]:
    """Those of all cases, or of those that fit, each with a line of its own."""
    return fitting(_all_curves(records), glob, lambda curve: [curve.case.label])


def _all_curves(records: list[Record]) -> list[Curve]:
    curves: list[Curve] = []
    numbers = itertools.count()
    for name, record in zip(record_names(records), records, strict=True):
        baseline = record.attributes.get("baseline")
        for label, case in record.cases.items():
            plain = label == baseline and len(records) == 1
            line = style.BASELINE if plain else style.line(next(numbers))
            verdict = validity(record, case)
            notes = drawable(case_note(verdict)), drawable(timing_note(verdict))
            full = f"{name}: {label}" if len(records) > 1 else label
            curves.append(Curve(drawable(full), case, line, *notes))
    return curves


def _positive(values: Iterable[np.ndarray]) -> np.ndarray:
    joined = np.concatenate([*values, np.empty(0)])
    return joined[np.isfinite(joined) & (joined > 0)]


def _spans_decades(values: list[np.ndarray]) -> bool:
    positive = _positive(values)
    return len(positive) > 0 and positive.max() > 30 * positive.min()


X_AXES = (
    XAxis(
        "uplink_bytes",
        "uplink",
        "KB per worker, uplink",
        lambda case: case["uplink_bytes"] / 1e3,
        log=True,
    ),
    XAxis(
        "total_bytes",
        "total",
        "KB per worker, uplink + downlink",
        lambda case: (case["uplink_bytes"] + case["downlink_bytes"]) / 1e3,
        log=True,
    ),
    XAxis("rounds", "rounds", "rounds", lambda case: case["round"].astype(float)),
    XAxis("seconds", "seconds", "seconds", lambda case: case["seconds"], timing=True),
)


FORMULAS = {metric.label for metric in METRICS.values()}  # a record's own may be anybody's


def _panels(curves: list[Curve]) -> tuple[Panel, ...]:
    """One panel per label; metrics that rise come first, those of theorems not at all."""
    by_label: dict[str, list[Metric]] = {}
    metrics = all_metrics(curve.case for curve in curves)
    drawn = (metric for name, metric in metrics.items() if name not in THEORY)
    for metric in sorted(drawn, key=lambda metric: metric.falls):
        by_label.setdefault(metric.label, []).append(metric)
    return tuple(Panel(tuple(members)) for members in by_label.values())


def _draw_curves(curves: list[Curve], axis: XAxis) -> Figure:
    figure = new_figure(max(style.PANEL_HEIGHT, style.LABEL_STEP * len(curves) + 0.6))
    panels = _panels(curves)
    axes = figure.subplots(1, len(panels))
    for panel, ax in zip(panels, axes, strict=True):
        _draw_panel(ax, curves, axis, panel)
    doubt = _doubt(curves) if axis.timing else ""
    axes[1].set_xlabel(axis.label + doubt)
    values = [panels[-1].values(curve.case) for curve in curves]
    annotate(figure, axes[-1], curves, values, axis.timing)
    return figure


def _doubt(curves: list[Curve]) -> str:
    """What stands behind the name of an axis of seconds that are not those of a measurement."""
    doubt = DOUBT if any(curve.timing for curve in curves) else ""
    return modelled(curves[0].case) or doubt


def modelled(case: Case) -> str:
    """What stands behind the name of an axis of modelled seconds; empty of real ones."""
    throttle = case.attributes.get("throttle")
    return f" (modelled, {drawable(throttle)})" if throttle else ""


def _draw_panel(ax: Axes, curves: list[Curve], axis: XAxis, panel: Panel) -> None:
    values = [panel.values(curve.case) for curve in curves]
    ceiling = _ceiling(values) if panel.metrics[0].falls else np.inf
    shown = [column[column <= ceiling] for column in values]
    log_y = panel.log(shown)
    ax.set_title(panel.title([curve.case for curve in curves]), loc="left")
    ax.set_xscale("log" if axis.log else "linear")
    ax.set_yscale("log" if log_y else "linear")
    for number, (curve, column) in enumerate(zip(curves, values, strict=True)):
        above = np.minimum(column, 1e3 * ceiling)  # out of sight, and still a number to Matplotlib
        x, y = points(axis.values(curve.case), above, axis.log, log_y)
        if len(x):
            marks = spaced_marks(_position(x, axis.log), number)
            ax.plot(x, y, markevery=marks, zorder=3 - number / 100, **curve.line.keywords())
    if any((column > ceiling).any() for column in values):
        ax.set_ylim(limits(np.concatenate(shown), log_y))


def _ceiling(values: list[np.ndarray]) -> float:
    """Ten times the highest start: a case that diverges leaves the panel there."""
    starts = _positive(column[:1] for column in values)
    return 10 * starts.max() if len(starts) else np.inf


def limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    """An axis for the range of `values`, with a margin of a twentieth of it."""
    values = np.log(values[values > 0]) if log else values
    margin = np.ptp(values) / 20
    low, high = values.min() - margin, values.max() + margin
    return (np.exp(low), np.exp(high)) if log else (low, high)


def points(x: np.ndarray, y: np.ndarray, log_x: bool, log_y: bool) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve that are drawn: finite, positive on log axes, no more than show."""
    kept = np.isfinite(x) & np.isfinite(y)
    kept &= (x > 0) | (not log_x)
    kept &= (y > 0) | (not log_y)
    x, y = x[kept], y[kept]
    shown = _thin(_position(x, log_x), y)
    return x[shown], y[shown]


def _position(x: np.ndarray, log: bool) -> np.ndarray:
    return np.log(x) if log else x


def _thin(position: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the first, lowest, highest and last point in each of BUCKETS along the axis.

    A line through these covers the same pixels as a line through all points.
    """
    if len(y) <= 4 * BUCKETS:
        return np.arange(len(y))
    scale = BUCKETS / max(np.ptp(position), np.finfo(float).tiny)
    bucket = ((position - position.min()) * scale).astype(int)
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    by_height = np.lexsort((y, bucket))  # positions only grow: each bucket keeps its place
    ends = np.append(starts[1:], len(y)) - 1
    return np.unique(np.concatenate([starts, ends, by_height[starts], by_height[ends]]))


def spaced_marks(position: np.ndarray, number: int, count: int = 4) -> list[int]:
    """Indices of the points that bear a marker: even along the axis, shifted from line to line."""
    fractions = (np.arange(count) + (number % 7 + 0.5) / 7) / count
    wanted = position[0] + fractions * (position[-1] - position[0])
    return np.minimum(np.searchsorted(position, wanted), len(position) - 1).tolist()


def new_figure(height: float) -> Figure:
    figure = Figure(figsize=(style.TWO_COLUMNS, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _settle(figure: Figure) -> None:
    """Lay the figure out once for all formats, because that takes most of the drawing's time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def annotate(
    figure: Figure,
    last: Axes,
    curves: list[Curve],
    values: list[np.ndarray],
    timing: bool = False,
) -> None:
    """Write the lines' names beside `last`, and below the panels what is not valid.

    `values` are the lines' there: a name stands near to its line's end.
    """
    notes = _notes(curves, timing)
    width, height = figure.get_size_inches()
    texts = [
        figure.text(0, 0, _marked(curve, timing), fontsize=style.LABEL_SIZE) for curve in curves
    ]
    gutter = max(text.get_window_extent().width for text in texts) / figure.dpi + style.SAMPLE
    below = style.NOTE_STEP * len(notes)
    figure.set_size_inches(width, height + below)
    right, bottom = gutter / width, below / (height + below)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, bottom, 1 - right, 1 - bottom))
    figure.text(0.01, 0.01, "\n".join(notes), fontsize=style.NOTE_SIZE, va="bottom")
    _settle(figure)
    ends = [_end_height(last, column) for column in values]
    _place_labels(figure, last, curves, texts, ends)


def _place_labels(
    figure: Figure, last: Axes, curves: list[Curve], texts: list[Text], ends: list[float]
) -> None:
    """Put each label, with a sample of its line, as near to the line's end as there is room."""
    box = last.get_position()
    width, height = figure.get_size_inches()
    spread = _spread(np.array(ends), style.LABEL_STEP / (box.height * height))
    for curve, text, end in zip(curves, texts, spread, strict=True):
        y = box.y0 + end * box.height
        left = box.x1 + 0.08 / width
        sample = [left, left + 0.12 / width, left + 0.24 / width]
        figure.add_artist(Line2D(sample, [y] * 3, markevery=[1], **curve.line.keywords()))
        text.set(x=left + 0.3 / width, y=y, va="center_baseline")


def _end_height(ax: Axes, values: np.ndarray) -> float:
    """Where a line ends, 0 at the foot of `ax` and 1 at its top."""
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 1.0
    _, height = ax.transAxes.inverted().transform(ax.transData.transform((1.0, values[-1])))
    return float(np.clip(height, 0, 1))


def _spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """`heights`, in their order, moved up until they are `gap` apart, then down to end below 1."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    raised = np.maximum.accumulate(heights[order] - steps) + steps
    placed = np.empty_like(heights)
    placed[order] = np.minimum(raised, 1 + steps - steps[-1])
    return placed


def _marked(curve: Curve, timing: bool) -> str:
    return curve.label + "*" * bool(curve.note) + "~" * bool(timing and curve.timing)


def _notes(curves: list[Curve], timing: bool) -> list[str]:
    notes = [f"* {curve.label}: {curve.note}" for curve in curves if curve.note]
    if timing:
        notes += dict.fromkeys(f"~ {curve.timing}" for curve in curves if curve.timing)
    return [line for note in notes for line in textwrap.wrap(note, WRAP)]


def _draw_phases(curves: list[Curve]) -> Figure:
    """Seconds per phase, the mean over ranks, in all and per round; evaluation is left out."""
    figure = new_figure(0.19 * len(curves) + 0.95)
    whole, each = figure.subplots(1, 2, sharey=True)
    rounds = np.array([max(int(curve.case["round"][-1]), 1) for curve in curves])
    _draw_bars(whole, curves, np.ones(len(curves)))
    _draw_bars(each, curves, 1e3 / rounds)
    doubt = _doubt(curves)
    whole.set_xlabel("seconds, mean over ranks" + doubt)
    each.set_xlabel("milliseconds per round, mean over ranks" + doubt)
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    notes = _notes(curves, timing=True)
    if notes:
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=style.NOTE_SIZE)
    _settle(figure)
    return figure


def _draw_bars(ax: Axes, curves: list[Curve], scale: np.ndarray) -> None:
    rows = np.arange(len(curves))
    left = np.zeros(len(curves))
    for phase in (phase for phase in PHASES if phase in style.PHASE_FILLS):
        means = np.array([curve.case.phases[phase].mean() for curve in curves]) * scale
        fill = style.PHASE_FILLS[phase]
        ax.barh(rows, means, 0.72, left, label=phase, edgecolor="black", linewidth=0.4, **fill)
        left += means
    ax.set_yticks(rows, [_marked(curve, timing=True) for curve in curves])
    ax.set_ylim(len(curves) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write the figure to the file `out`, or where that names no format into the folder `out`.

    There it is NAME in each of the USUAL formats. A file that was there stays if drawing fails.
    """
    if out.suffix[1:] in FORMATS:
        return [_write(figure, out)]
    return [_write(figure, out / f"{name}.{extension}") for extension in USUAL]


def _write(figure: Figure, path: Path) -> Path:
    drawn, extension = io.BytesIO(), path.suffix[1:]
    # Without its date the same record is the same file.
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(extension)
    figure.savefig(drawn, format=extension, metadata=metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawn.getvalue())
    return path
