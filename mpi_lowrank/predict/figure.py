"""The heat map of who is fastest: bandwidth by ranks, a colour and a name for each winner."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mpi_lowrank.predict.rows import Grid, is_whole, winners
from mpi_lowrank.record import Record
from mpi_lowrank.report import style
from mpi_lowrank.report.figures import new_figure, save, stem_of
from mpi_lowrank.report.plain import drawable
from mpi_lowrank.report.table import Target

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "||||", "----")
DENSE = ("0.82", "0.68", "0.55")
"""Of whole gradients: grey, since nothing pays there."""
NOBODY = "1.0"


def plot_predictions(
    record: Record, grid: Grid, out: Path, target: Target | None = None
) -> list[Path]:
    """Draw which case is fastest to the target, or per round, over bandwidths and ranks.

    `out` as in `report.figures.save`: NAME_predicted in a folder.
    """
    with matplotlib.rc_context(style.RC):
        figure = draw(record, grid, winners(record, grid, target), target)
        return save(figure, out, f"{stem_of([record])}_predicted")


def draw(record: Record, grid: Grid, best: np.ndarray, target: Target | None) -> Figure:
    """The figure of `winners`."""
    labels, whole = list(record.cases), is_whole(record)
    shown = [int(number) for number in np.unique(best)]
    looks = _looks(shown, whole)
    figure = new_figure(2.9)
    axes = figure.subplots()
    place = np.searchsorted(shown, best)
    colors = ListedColormap([looks[number][0] for number in shown])
    x, y = 8 * grid.bandwidths / 1e6, grid.ranks
    axes.pcolormesh(
        x,
        np.arange(len(y)),
        place,
        cmap=colors,
        vmin=-0.5,
        vmax=len(shown) - 0.5,
        shading="nearest",
    )
    _hatch(axes, x, best, looks)
    ticks = range(0, len(y), max(1, len(y) // 8))
    axes.set_yticks(ticks, [f"{grid.ranks[tick]}" for tick in ticks])
    axes.set(xscale="log", xlabel="bandwidth of a link (Mbit/s)", ylabel="ranks, a worker each")
    axes.grid(False)
    told = f"fastest to {target[0]} = {target[1]:g}" if target else "fastest round"
    axes.set_title(f"{told}, predicted; {grid.latency * 1e6:g} us per message", loc="left")
    handles = [_patch(looks[number], _name(labels, number)) for number in shown]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, handlelength=2.5)
    return figure


def _looks(shown: list[int], whole: list[bool]) -> dict[int, tuple[str, str]]:
    """A colour and a hatch for each winner; whole gradients are grey, without a hatch."""
    greys, colors = iter(DENSE * len(whole)), iter(zip(style.COLORS * 9, HATCHES * 9, strict=True))
    looks = {}
    for number in shown:
        if number < 0:
            looks[number] = NOBODY, ""
        elif whole[number]:
            looks[number] = next(greys), ""
        else:
            color, hatch = next(colors)
            looks[number] = _light(color), hatch
    return looks


def _light(color: str) -> str:
    """Half way to white, so that hatches show."""
    red, green, blue = to_rgb(color)
    return to_hex(((red + 1) / 2, (green + 1) / 2, (blue + 1) / 2))


def _hatch(axes: Axes, x: np.ndarray, best: np.ndarray, looks: dict[int, tuple[str, str]]) -> None:
    for number, (_, hatch) in looks.items():
        if hatch and min(best.shape) > 1:
            inside = (best == number).astype(float)
            axes.contourf(
                x, np.arange(len(best)), inside, [0.5, 1.5], colors="none", hatches=[hatch]
            )


def _patch(look: tuple[str, str], name: str) -> Patch:
    return Patch(facecolor=look[0], hatch=look[1], edgecolor="0.2", linewidth=0.4, label=name)


def _name(labels: list[str], number: int) -> str:
    return drawable(labels[number]) if number >= 0 else "none reached it"
