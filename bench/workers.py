"""Bytes against the number of workers, each method at its best step: the figure of `workers.toml`.

python bench/workers.py results/workers.h5 --plot results/workers.png
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from mpi_lowrank.record import Record
from mpi_lowrank.report.best import best_rows
from mpi_lowrank.report.table import read_target

STYLES = [
    ("o", "-"),
    ("s", "--"),
    ("^", ":"),
    ("D", "-."),
    ("v", "-"),
    ("P", "--"),
    ("X", ":"),
    ("<", "-."),
]
COLOURS = ["#000000", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"]


def plot(rows: list[dict], path: Path) -> None:
    """Uplink and total KB per worker against the number of workers, a line per method."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(row["name"] for row in rows))
    ends = []
    for number, name in enumerate(names):
        chosen = [r for r in rows if r["name"] == name and r["rounds"] is not None]
        marker, dashes = STYLES[number % len(STYLES)]
        colour, workers = COLOURS[number % len(COLOURS)], [r["setting"]["workers"] for r in chosen]
        for axes, cost in ((left, "uplink_bytes"), (right, "total_bytes")):
            kilobytes = [r[cost] / 1e3 for r in chosen]
            axes.loglog(workers, kilobytes, marker=marker, linestyle=dashes, color=colour)
        if chosen:
            ends.append((kilobytes[-1], workers[-1], name, colour))
    for axes, title in ((left, "uplink"), (right, "uplink + downlink")):
        axes.set(title=title, xlabel="workers")
        axes.set_xticks([4, 20, 100], ["4", "20", "100"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.set_ylabel("KB per worker to the target")
    _label_ends(right, ends)
    figure.savefig(path, dpi=200)


def _label_ends(axes, ends: list[tuple]) -> None:
    """The lines' names behind their ends, spread so that none covers another."""
    low, high = axes.get_ylim()
    gap, floor = (high / low) ** 0.055, 0.0
    for value, x, text, colour in sorted(ends):
        floor = max(value, floor * gap)
        place = {"xytext": (1.04, floor), "textcoords": axes.get_yaxis_transform()}
        axes.annotate(text, (x, value), color=colour, fontsize=7, va="center", **place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    parser.add_argument("--target", default="grad_norm_sq=1e-6", metavar="METRIC=VALUE")
    parser.add_argument("--plot", type=Path, metavar="FILE", required=True)
    options = parser.parse_args()
    target = read_target("--target", options.target)
    plot(best_rows([Record(path) for path in options.records], target), options.plot)


if __name__ == "__main__":
    main()
