"""Each method at its best step: the table, and bytes against the number of workers.

    python bench/best.py results/workers.h5 --target grad_norm_sq=1e-6 --by total_bytes
    python bench/best.py results/workers.h5 --plot results/workers.png

Cases that differ in the stepsize alone compete, those that differ in the seed alone stand together:
the step whose median over the seeds of the bytes to the target (`--by` uplink_bytes or total_bytes)
is least stands for them; a seed that never arrives took infinitely many. Ratios are to GD with
float32 on the wire, Allreduced where the records have that and gathered where not, in the same
data, problem and number of workers.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mpi_lowrank.record import Record
from mpi_lowrank.report.medians import together
from mpi_lowrank.report.table import table_rows

SETTING = ("problem", "data", "order", "workers")
BASELINES = ("dense", "dense(wire=float32)", "identity", "identity(wire=float32)")


def best_rows(records: list[Record], target: tuple[str, float], by: str) -> list[dict]:
    """The best step of each method, compressor and setting, in order.

    A row's `costs` and `reached` are those of `together`, over the seeds.
    """
    best: dict[tuple, dict] = {}
    for row in _steps(records, target):
        key = (*(row[k] for k in SETTING), name_of(row))
        kept = best.setdefault(key, row)
        if row["reached"] and (not kept["reached"] or row["reached"][by] < kept["reached"][by]):
            best[key] = row
    return list(best.values())


def _steps(records: list[Record], target: tuple[str, float]) -> list[dict]:
    """A row per method, compressor, setting and step, its seeds together."""
    steps: dict[tuple, list[dict]] = {}
    for record in records:
        for row in table_rows([record], target):
            given = record.cases[row["label"]].attributes
            row |= {key: given.get(key) for key in SETTING}
            row["stepsize"] = _step(given)
            key = (*(row[k] for k in SETTING), name_of(row), row["stepsize"])
            steps.setdefault(key, []).append(row)
    return [together(rows) for rows in steps.values()]


def _step(given: Mapping) -> str:
    """A multiple of the theory's step, of 1/L where it was asked for so, else the number.

    L and the theory's step may differ from seed to seed.
    """
    if "multiple" in given:
        return f"{given['multiple']:g}x"
    in_L = given["stepsize"] * given["L"]
    return f"{given['stepsize']:.3g}" if np.isnan(in_L) else f"{in_L:.3g}/L"


def name_of(row: dict) -> str:
    """Method, compressor, and the step rule if it is not the plain one."""
    return " ".join(filter(None, (row["method"], row["compressor"], row.get("step"))))


def baseline(rows: list[dict]) -> dict | None:
    """The row that the others are compared with."""
    plain = (row for row in rows if row["method"] == "GD" and not row.get("step"))
    gd = {row["compressor"]: row for row in plain}
    return next((gd[name] for name in BASELINES if name in gd), None)


def print_table(rows: list[dict]) -> None:
    """A block per setting: rounds, step, uplink and total KB per worker, ratios to GD.

    Of several seeds the medians, the least and the largest uplink, and how many arrived.
    """
    several = max(len(row["costs"]["rounds"]) for row in rows) > 1
    for setting in dict.fromkeys(tuple(row[k] for k in SETTING) for row in rows):
        print("  ".join(f"{k} = {v}" for k, v in zip(SETTING, setting, strict=True) if v))
        block = [row for row in rows if tuple(row[k] for k in SETTING) == setting]
        base = baseline(block)
        costs = f"{'rounds':>7}{'up KB':>8}{'all KB':>8}{'all/GD':>8}"
        spread = f"{'up KB, least-most':>19}{'seeds':>7}" if several else ""
        print(f"  {'method':<58}{'step':>7}{costs}{spread}")
        for row in block:
            print("  " + _line(row, base) + (_spread(row) if several else ""))
        print()


def _line(row: dict, base: dict | None) -> str:
    name = name_of(row)
    if not row["reached"]:
        return f"{name:<58}{'-':>7}{'-':>7}{'-':>8}{'-':>8}{'-':>8}"
    up, total = row["reached"]["uplink_bytes"] / 1e3, row["reached"]["total_bytes"] / 1e3
    ratio = (
        total * 1e3 / base["reached"]["total_bytes"] if base and base["reached"] else float("nan")
    )
    rounds = f"{row['reached']['rounds']:g}"
    cells = f"{row['stepsize']:>7}{rounds:>7}{_kb(up):>8}{_kb(total):>8}{ratio:>8.3f}"
    return f"{name:<58}{cells}"


def _spread(row: dict) -> str:
    uplink = row["costs"]["uplink_bytes"]
    arrived = np.count_nonzero(np.isfinite(uplink))
    ends = "-".join("" if np.isinf(v) else _kb(v / 1e3) for v in (uplink.min(), uplink.max()))
    return f"{ends:>19}{f'{arrived}/{len(uplink)}':>7}"


def _kb(kilobytes: float) -> str:
    return f"{kilobytes:.0f}" if kilobytes >= 100 else f"{kilobytes:.3g}"


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
    names = list(dict.fromkeys(map(name_of, rows)))
    ends = []
    for number, name in enumerate(names):
        chosen = [r for r in rows if name_of(r) == name and r["reached"]]
        marker, dashes = STYLES[number % len(STYLES)]
        colour, workers = COLOURS[number % len(COLOURS)], [r["workers"] for r in chosen]
        for axes, cost in ((left, "uplink_bytes"), (right, "total_bytes")):
            kilobytes = [r["reached"][cost] / 1e3 for r in chosen]
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
    parser.add_argument("--by", default="total_bytes", choices=("uplink_bytes", "total_bytes"))
    parser.add_argument("--sort", action="store_true", help="cheapest first")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    metric, value = options.target.split("=")
    rows = best_rows([Record(p) for p in options.records], (metric, float(value)), options.by)
    if options.sort:
        rows.sort(key=lambda row: (row["reached"] or {}).get(options.by, np.inf))
    print_table(rows)
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
