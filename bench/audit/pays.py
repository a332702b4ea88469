"""Does compression pay? Seconds to a target on slow links, and in shared memory.

    .venv/bin/python bench/audit/pays.py        as root

The same cases on hosts whose links have a rate, and on as many ranks of this machine. Seconds are
those of the method's own clock, when the target was first seen.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import audit
import network
import runs

from mpi_lowrank.record import Case, Record
from mpi_lowrank.report.parameters import parameters

CONFIG = Path(__file__).with_name("pays.toml")

HEADER = """\
Seconds to the target, and by how much dense float32 takes longer
case                       rounds   {rate:>9}    ratio  shared memory    ratio"""


def measured(hosts: int, rate: str, settings: list[str]) -> list[Record]:
    """The cases on the links, and in shared memory."""
    told = [f"--set={setting}" for setting in settings]
    with tempfile.TemporaryDirectory() as name:
        far, near = Path(name, "far.h5"), Path(name, "near.h5")
        with network.running(hosts, rate) as links:
            runs.far(links, CONFIG, far, *told)
        runs.near(CONFIG, near, hosts, *told)
        return [Record(far), Record(near)]


def seconds(case: Case) -> float:
    """When its run ended, which is when it reached the target; infinite where it did not."""
    reached = case["grad_norm_sq"][-1] <= parameters(case)["stop.grad_norm_sq"]
    return float(case["seconds"][-1]) if reached else float("inf")


def table(records: list[Record]) -> list[str]:
    """A line per case; cases of one problem follow the one they are compared with."""
    lines, dense = [], [0.0, 0.0]
    for label, *cases in zip(records[0].cases, *(r.cases.values() for r in records), strict=True):
        here = [seconds(case) for case in cases]
        if label.endswith("GD float32"):
            dense = here
        far, near = (_beside(value, base) for value, base in zip(here, dense, strict=True))
        lines.append(f"{label:<26}{int(cases[0]['round'][-1]):>7}{far:>21}{near:>24}")
    return lines


def _beside(value: float, base: float) -> str:
    return f"{value:.3f}{base / value:>9.2f}" if value < float("inf") else f"-{'-':>9}"


def main() -> int:
    """Print the table; the exit status: 0, 2 if none is had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--rate", default="100mbit")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if reason := audit.unavailable():
        print(f"pays: cannot run here: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespaces go in any case
    records = measured(options.hosts, options.rate, options.set)
    print(HEADER.format(rate=options.rate), *table(records), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
