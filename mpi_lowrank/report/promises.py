"""The figure of what theorems promise, beside what came of it, for cases with `theory`."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpi_lowrank.record import THEORY, Case, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.figures import (
    Curve,
    all_curves,
    annotate,
    new_figure,
    points,
    save,
    spaced_marks,
    stem_of,
)

PROMISED = {"linestyle": (0, (1, 1.2)), "linewidth": 0.9, "markerfacecolor": "white"}
"""What is predicted is drawn so, in the colour of its case and with one of its markers."""

MEASURED = ("-", *style.DASHES[1::2])
"""What is measured is never dotted; of three times seven cases no two look alike."""

GRADIENT = r"mean $\|\nabla f\|^2$ so far" + "\n(dotted: its bound)"
ERROR = r"G = mean $\|g_i - \nabla f_i\|^2$"
LINEAR = r"$\Psi$ of the linear rate, over its start" + "\n(dotted: its bound)"
DIGITS = 1e-16
"""Of the start: a float64 f has no more."""
ALPHA = r"realised $\alpha$, worst worker to mean" + "\n(dotted: promised)"


def plot_promises(records: list[Record], folder: Path, glob: str | None = None) -> list[Path]:
    """Draw NAME_theory, a PNG and a PDF, of those cases that have the columns; else nothing.

    The mean of |grad f|^2 over the rounds beside its bound, G, the Lyapunov function of a linear
    rate beside its bound, and the realised alpha, from the worst worker's to the mean, beside the
    promised one. NAME is as for `figures.plot`.
    """
    curves = [c for c in all_curves(records, glob) if c.case.metrics.keys() >= THEORY.keys()]
    if not any(len(curve.case) > 1 for curve in curves):
        return []
    told = [_without_dots(curve, number) for number, curve in enumerate(curves)]
    with matplotlib.rc_context(style.RC):
        return save(draw(told), folder, f"{stem_of(records)}_theory")


def _without_dots(curve: Curve, number: int) -> Curve:
    dashes = MEASURED[number // len(style.COLORS) % len(MEASURED)]
    return curve._replace(line=curve.line._replace(linestyle=dashes))


def draw(curves: list[Curve]) -> Figure:
    """Three panels, or four where a case has a theorem of a linear rate."""
    linear = any(np.isfinite(curve.case["linear_bound"]).any() for curve in curves)
    height, rows = max(style.PANEL_HEIGHT, style.LABEL_STEP * len(curves) + 0.6), 1 + linear
    figure = new_figure(rows * height)
    gradient, error, *more, alpha = figure.subplots(rows, 2 if linear else 3).flat
    for ax, title in ((gradient, GRADIENT), (error, ERROR), (alpha, ALPHA)):
        ax.set_title(title, loc="left")
        ax.set(xscale="log", yscale="log", xlabel="rounds")
    for number, curve in enumerate(curves):
        _draw_gradient(gradient, curve, number)
        _line(error, curve, number, curve.case["estimate_error"])
        _draw_alpha(alpha, curve, number)
    for ax in more:
        _draw_linear(ax, curves)
    promised = [case.attributes["alpha"] for case in _contracting(curves)]
    if promised:
        alpha.set_ylim(min(promised) / 2, 1.5)
    annotate(figure, alpha, curves, [_alpha(curve.case) for curve in curves])
    return figure


def _draw_linear(ax: Axes, curves: list[Curve]) -> None:
    ax.set_title(LINEAR, loc="left")
    ax.set(yscale="log", xlabel="rounds")
    for number, curve in enumerate(curves):
        start = curve.case["linear_bound"][0]
        _line(ax, curve, number, curve.case["linear_lyapunov"] / start)
        _line(ax, curve, number, curve.case["linear_bound"] / start, 1, **PROMISED)
    ax.set_ylim(bottom=max(ax.get_ylim()[0], DIGITS))


def _draw_gradient(ax: Axes, curve: Curve, number: int) -> None:
    _line(ax, curve, number, mean_so_far(curve.case))
    _line(ax, curve, number, curve.case["grad_bound"], 1, **PROMISED)


def mean_so_far(case: Case) -> np.ndarray:
    """Of |grad f|^2 over the rounds before each row; NaN in the first, and if any had no row."""
    squares = np.where(case["round"] == np.arange(len(case["round"])), case["grad_norm_sq"], np.nan)
    before = np.cumsum(squares) - squares
    rows = np.arange(len(squares))
    return np.divide(before, rows, out=np.full(len(squares), np.nan), where=rows > 0)


def _draw_alpha(ax: Axes, curve: Curve, number: int) -> None:
    case = curve.case
    x, mean = case["round"], case["realised_alpha_mean"]
    ax.fill_between(x, _alpha(case), mean, color=curve.line.color, alpha=0.2, linewidth=0)
    _line(ax, curve, number, _alpha(case))
    if case in _contracting([curve]):
        promised = np.where(np.isnan(mean), np.nan, case.attributes["alpha"])
        _line(ax, curve, number, promised, 1, **PROMISED)


def _alpha(case: Case) -> np.ndarray:
    return case["realised_alpha"]


def _contracting(curves: list[Curve]) -> list[Case]:
    return [curve.case for curve in curves if "alpha" in curve.case.attributes]


def _line(
    ax: Axes, curve: Curve, number: int, column: np.ndarray, count: int = 4, **look: Any
) -> None:
    """The column against rounds, with so many markers."""
    log = ax.get_xscale() == "log"
    x, y = points(curve.case["round"].astype(float), column, log, True)
    if len(x):
        marks = spaced_marks(np.log(x) if log else x, number, count)
        ax.plot(x, y, markevery=marks, zorder=3 - number / 100, **curve.line.keywords() | look)
