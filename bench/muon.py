"""KB to a training loss under Muon: the table of `muon.toml`, and its figure.

    python bench/muon.py results/muon.h5 --plot results/muon.png

Each method stands at the step of its grid whose median KB over the seeds is least. The figure has
its median loss against the KB that a worker has sent; a dot is where it reaches the target.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpi_lowrank.record import Case, Record
from mpi_lowrank.report import style
from mpi_lowrank.report.medians import grouped_cases

NAMES = {"identity": "dense", "natural": "nat."}
COLORS, MARKERS = (*style.COLORS, "#000000"), (*style.MARKERS, "*")


class Curve(NamedTuple):
    """A method at its best step: medians over its seeds."""

    name: str
    step: float
    kilobytes: float
    """To the target; infinite where the median seed does not arrive."""
    rounds: float
    last: float
    """The loss in the end."""
    cases: list[Case]


def curves(record: Record, target: float) -> list[Curve]:
    """The best step of each method and compressor, cheapest first."""
    best: dict[str, Curve] = {}
    for cases in grouped_cases([record]).values():
        found = _curve(cases, target)
        kept = best.setdefault(found.name, found)
        if found.kilobytes < kept.kilobytes:
            best[found.name] = found
    return sorted(best.values(), key=lambda curve: curve.kilobytes)


def _curve(cases: list[Case], target: float) -> Curve:
    costs = np.array([_reached(case, target) for case in cases])
    kilobytes, rounds = np.median(costs, axis=0)
    last = float(np.median([case["loss"][-1] for case in cases]))
    step = float(cases[0].attributes["stepsize"])
    return Curve(_name(cases[0]), step, kilobytes, rounds, last, cases)


def _reached(case: Case, target: float) -> tuple[float, float]:
    at = np.flatnonzero(case["loss"] <= target)
    if not len(at):
        return np.inf, np.inf
    return case["uplink_bytes"][at[0]] / 1e3, case["round"][at[0]]


def _name(case: Case) -> str:
    """Muon sdd 4, SGDM dense, Orth-Dion powersgd 4."""
    method, rule = case.attributes["method"], case.attributes["step"]
    kind = "SGDM" if rule.startswith("plain") else "Muon"
    kind = "Orth-Dion" if method.startswith("Dion") else kind
    return f"{kind} {' + '.join(_words(case.attributes['compressor']))}"


def _words(compressor: str) -> Iterator[str]:
    for stage in compressor.split("+"):
        name, _, options = stage.removesuffix(")").partition("(")
        first = options.partition(",")[0].rpartition("=")[2]
        yield f"{NAMES.get(name, name)} {first}".strip()


def kb(kilobytes: float) -> str:
    """23.1 KB, 1137 KB, or never."""
    if np.isinf(kilobytes):
        return "never"
    return f"{kilobytes:.0f} KB" if kilobytes >= 100 else f"{kilobytes:.3g} KB"


def print_table(found: list[Curve]) -> None:
    print(f"{'method':<28}{'step':>6}{'up':>9}{'rounds':>8}{'last loss':>11}")
    for name, step, kilobytes, rounds, last, _ in found:
        print(f"{name:<28}{step:>6g}{kb(kilobytes):>9}{rounds:>8g}{last:>11.4f}")


def draw(found: list[Curve], target: float) -> Figure:
    """Median loss against KB sent, a line a method, named at its end."""
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.TWO_COLUMNS, 3.4), dpi=200, layout="constrained")
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log", xlabel="KB sent per worker", ylabel="training loss")
        axes.axhline(target, color="0.35", linestyle=(0, (4, 2)), linewidth=0.9)
        for number, curve in enumerate(found):
            _draw_curve(axes, curve, number, target)
        numbers = matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_locator(matplotlib.ticker.FixedLocator([0.12, 0.15, 0.2, 0.3, 0.5, 1]))
        axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(numbers)
        axes.set_ylim(0.115, 1.2)
        figure.legend(loc="outside right center", frameon=False, fontsize=style.LABEL_SIZE)
    return figure


def _draw_curve(axes: Axes, curve: Curve, number: int, target: float) -> None:
    sent = np.median([case["uplink_bytes"] for case in curve.cases], axis=0)[1:] / 1e3
    loss = np.median([case["loss"] for case in curve.cases], axis=0)[1:]
    line = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
    dashes = style.DASHES[number % len(style.DASHES)]
    label = f"{curve.name}: {kb(curve.kilobytes)}"
    axes.plot(sent, loss, **line, linestyle=dashes, markevery=[len(sent) - 1], label=label)
    if np.isfinite(curve.kilobytes):
        axes.plot(curve.kilobytes, target, **line, markersize=5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path, metavar="RECORD")
    parser.add_argument("--target", type=float, default=0.2, metavar="LOSS")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = curves(Record(options.record), options.target)
    print_table(found)
    if options.plot:
        draw(found, options.target).savefig(options.plot, dpi=200)


if __name__ == "__main__":
    main()
