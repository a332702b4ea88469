"""Rounds on shaped links beside what `predict` and `run --throttle` say of them.

    .venv/bin/python bench/audit/predicted.py --plot results/predicted.png        as root

A record made in shared memory predicts, the same cases run on hosts whose links have that rate,
and once more in shared memory with every call throttled. Milliseconds per round of the method's
own clock, all rounds together.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import audit
import matplotlib
import network
import numpy as np
import runs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpi_lowrank.door.network import Network
from mpi_lowrank.predict.model import measured
from mpi_lowrank.record import Case, Record
from mpi_lowrank.report import style

CONFIG = Path(__file__).with_name("predicted.toml")
LATENCY = "50us"
ALLOWED = 0.2
"""Of what is measured: so far may the median be off."""


class Row(NamedTuple):
    """Milliseconds per round of one case on one network."""

    case: str
    hosts: int
    rate: str
    measured: float
    predicted: float
    throttled: float

    def __str__(self) -> str:
        return (
            f"{self.case:<18}{self.hosts:>5}{self.rate:>9}{self.measured:>11.1f}"
            f"{self.predicted:>11.1f}{self.throttled:>11.1f}"
            f"{self.predicted / self.measured:>16.2f}{self.throttled / self.measured:>16.2f}"
        )


HEADER = (
    "Milliseconds per round\n"
    "case              hosts     rate   measured  predicted  throttled"
    "  pred./measured  thr./measured"
)


def rows(hosts: int, rate: str, settings: list[str]) -> list[Row]:
    """The cases on one network, each a `Row`."""
    link, told = f"{rate},{LATENCY}", [f"--set={setting}" for setting in settings]
    with tempfile.TemporaryDirectory() as name:
        here, there, slow = (Path(name, f"{stem}.h5") for stem in ("here", "there", "slow"))
        runs.near(CONFIG, here, hosts, *told)
        with network.running(hosts, rate) as links:
            runs.far(links, CONFIG, there, *told)
        runs.near(CONFIG, slow, hosts, *told, "--throttle", link)
        records = [Record(path) for path in (here, there, slow)]
        return [
            Row(
                case.label,
                hosts,
                rate,
                per_round(far_case),
                1e3 * measured(case).seconds(Network.read(link), hosts),
                per_round(slow_case),
            )
            for case, far_case, slow_case in zip(*(r.cases.values() for r in records), strict=True)
        ]


def per_round(case: Case) -> float:
    return 1e3 * float(case["seconds"][-1] / case["round"][-1])


def off(found: list[Row], name: str) -> float:
    """The median error, relative to what was measured."""
    return float(np.median([abs(getattr(row, name) / row.measured - 1) for row in found]))


def draw(found: list[Row], path: Path) -> None:
    """Both ways of telling against what was measured; the band is what they may be off."""
    cases = list(dict.fromkeys(row.case for row in found))
    networks = list(dict.fromkeys((row.hosts, row.rate) for row in found))
    colors = dict(zip(cases, style.COLORS, strict=False))
    markers = dict(zip(networks, style.MARKERS, strict=False))
    with matplotlib.rc_context(style.RC):
        figure = Figure((style.TWO_COLUMNS, 2.6), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, name in zip(panels, ("predicted", "throttled"), strict=True):
            _panel(axes, found, name)
            for row in found:
                marker = markers[row.hosts, row.rate]
                at = row.measured, getattr(row, name)
                axes.plot(*at, marker, color=colors[row.case], fillstyle=_fill(row.hosts))
        looks = [Line2D([], [], color=color, lw=3, label=case) for case, color in colors.items()]
        for (hosts, rate), marker in markers.items():
            told = {"color": "0.3", "lw": 0, "fillstyle": _fill(hosts)}
            looks.append(Line2D([], [], marker=marker, label=f"{hosts} hosts, {rate}", **told))
        figure.legend(handles=looks, loc="outside right upper", frameon=False)
        figure.savefig(path)


def _fill(hosts: int) -> str:
    return "full" if hosts == 2 else "none"


def _panel(axes: Axes, found: list[Row], name: str) -> None:
    values = [value for row in found for value in row[3:]]
    ends = np.array([0.8 * min(values), 1.25 * max(values)])
    axes.fill_between(ends, (1 - ALLOWED) * ends, (1 + ALLOWED) * ends, color="0.88")
    axes.plot(ends, ends, color="0.4", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured on the links (ms per round)")
    axes.set_ylabel(f"{name} (ms per round)")
    axes.set_title(f"{name}: off by {off(found, name):.0%} in the median", loc="left")


def main() -> int:
    """Print the table and the medians; the exit status: 0, 1 beyond 20 %, 2 if none is had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", nargs="+", default=["10mbit", "100mbit"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--plot", type=Path, metavar="FIGURE")
    options = parser.parse_args()
    if reason := audit.unavailable():
        print(f"predicted: cannot run here: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespaces go in any case
    print(HEADER)
    found = []
    for hosts in options.hosts:
        for rate in options.rates:
            for row in rows(hosts, rate, options.set):
                print(row, flush=True)
                found.append(row)
    errors = {name: off(found, name) for name in ("predicted", "throttled")}
    print("median error: " + ", ".join(f"{name} {error:.0%}" for name, error in errors.items()))
    if options.plot:
        draw(found, options.plot)
    return 0 if max(errors.values()) <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
