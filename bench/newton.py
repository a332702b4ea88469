"""Bytes and rounds against the condition number: the table of `newton.toml`, and its figure.

    python bench/newton.py results/newton.h5 --plot results/newton.png

Every method stands at the step of its grid that takes fewest bytes up, for each lambda by itself.
"""

import argparse
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpi_lowrank.record import Record
from mpi_lowrank.report import style
from mpi_lowrank.report.best import Step, best_steps

NAMES = {
    "FedNL-LS(hessian=eigen) identity": "FedNL-LS, rank 1",
    "FedNL-LS(hessian=symmetric_sdd) identity": "FedNL-LS, symmetric sdd",
    "L-BFGS identity": "L-BFGS",
    "EF21(g0=compressed) kronecker(shape=4x32)": "EF21, kronecker 4 x 32",
    "EF21(g0=compressed) sdd(shape=16x7)": "EF21, sdd 16 x 7",
    "EF21(g0=compressed) topk(k=2)+natural": "EF21, Top-2 natural",
    "GD identity": "GD",
}
"""What the table and the figure call each method, in their order."""

LOST = {"marker": "x", "linestyle": ""}
"""The mark of what did not arrive."""


def condition_number(step: Step) -> float:
    """L / lambda of a method's cases."""
    strength = float(re.search(r"lambda=([\d.e+-]+)", step.row["setting"]["problem"])[1])
    return step.cases[0].attributes["L"] / strength


def curves(record: Record, target: tuple[str, float]) -> dict[str, dict[float, dict]]:
    """By name and condition number, both in order, the best row of each."""
    found: dict[str, dict[float, dict]] = {name: {} for name in NAMES.values()}
    for step in best_steps([record], target, "uplink_bytes"):
        found[NAMES[step.row["name"]]][condition_number(step)] = step.row
    return {name: dict(sorted(rows.items())) for name, rows in found.items() if rows}


def print_table(found: dict[str, dict[float, dict]]) -> None:
    """A line per method; per condition number KB up per worker, rounds, and the step if swept."""
    kappas = sorted({kappa for rows in found.values() for kappa in rows})
    print(f"{'kappa':<26}" + "".join(f"{kappa:>24.3g}" for kappa in kappas))
    print(f"{'':<26}" + f"{'KB up / rounds / step':>24}" * len(kappas))
    for name, rows in found.items():
        print(f"{name:<26}" + "".join(f"{_cell(name, rows[kappa]):>24}" for kappa in kappas))


def _cell(name, row):
    if row["rounds"] is None:
        return "-"
    step = row["stepsize"] if name.startswith(("EF21", "GD")) else "-"
    return f"{row['uplink_bytes'] / 1e3:.3g} / {row['rounds']:g} / {step}"


def draw(found: dict[str, dict[float, dict]]) -> Figure:
    """KB up and rounds against the condition number; a cross on the upper edge never arrived."""
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.TWO_COLUMNS, 3.2), dpi=200, layout="constrained")
        left, right = figure.subplots(1, 2)
        panels = (left, "uplink_bytes", 1e3, "KB up per worker"), (right, "rounds", 1, "rounds")
        for axes, cost, unit, label in panels:
            axes.set(xscale="log", yscale="log", ylabel=label)
            axes.set_xlabel("condition number L / lambda")
            for number, (name, rows) in enumerate(found.items()):
                look = style.line(number).keywords() | {"label": name}
                arrived = {k: r[cost] / unit for k, r in rows.items() if r[cost] is not None}
                axes.plot(arrived.keys(), arrived.values(), **look)
                _mark_lost(axes, [k for k in rows if k not in arrived], number)
        handles, _ = left.get_legend_handles_labels()
        if any(row["rounds"] is None for rows in found.values() for row in rows.values()):
            handles.append(Line2D([], [], color="0.3", label="did not arrive", **LOST))
        place = {"loc": "outside upper center", "ncols": 4, "frameon": False}
        figure.legend(handles=handles, fontsize=style.LABEL_SIZE, **place)
    return figure


def _mark_lost(axes, kappas, number):
    """A cross for each, those of one condition number beside each other."""
    colour, above = style.line(number).color, axes.get_xaxis_transform()
    for kappa in kappas:
        at = [kappa * 1.14 ** (number - 4)], [0.98]
        axes.plot(*at, color=colour, transform=above, clip_on=False, **LOST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path, metavar="RECORD.h5")
    parser.add_argument("--target", default="grad_norm_sq=1e-10", metavar="METRIC=VALUE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    metric, _, value = options.target.partition("=")
    found = curves(Record(options.record), (metric, float(value)))
    print_table(found)
    if options.plot:
        draw(found).savefig(options.plot)


if __name__ == "__main__":
    main()
