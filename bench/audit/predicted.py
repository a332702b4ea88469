"""Rounds on shaped links beside what `predict` and `run --throttle` say of them.

    .venv/bin/python bench/audit/predicted.py        as root

A record made in shared memory predicts, the same cases run on hosts whose links have that rate,
and once more in shared memory with every call throttled. Milliseconds per round of the method's
own clock, all rounds together.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import audit
import network
import numpy as np

from mpi_lowrank.door.network import Network
from mpi_lowrank.machine.launch import own_mpirun
from mpi_lowrank.predict.model import measured
from mpi_lowrank.record import Case, Record

CONFIG = Path(__file__).with_name("predicted.toml")
LATENCY = "50us"
SECONDS = 300
"""A run that takes longer hangs."""


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
    link = Network.read(f"{rate},{LATENCY}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        near, far, slow = (folder / f"{stem}.h5" for stem in ("near", "far", "slow"))
        local = [own_mpirun(), "-n", str(hosts), *command(near, settings)]
        subprocess.run(local, check=True, capture_output=True, timeout=SECONDS)
        with network.running(hosts, rate) as links:
            links.mpirun(own_mpirun(), command(far, settings), folder, SECONDS)
        local = [own_mpirun(), "-n", str(hosts), *command(slow, settings)]
        throttle = ["--throttle", f"{rate},{LATENCY}"]
        subprocess.run([*local, *throttle], check=True, capture_output=True, timeout=SECONDS)
        records = [Record(path) for path in (near, far, slow)]
        return [
            Row(
                case.label,
                hosts,
                rate,
                per_round(far_case),
                1e3 * measured(case).seconds(link, hosts),
                per_round(slow_case),
            )
            for case, far_case, slow_case in zip(*(r.cases.values() for r in records), strict=True)
        ]


def command(out: Path, settings: list[str]) -> list[str]:
    told = [f"--set={setting}" for setting in settings]
    return [sys.executable, "-m", "mpi_lowrank", "run", str(CONFIG), "--out", str(out), *told]


def per_round(case: Case) -> float:
    return 1e3 * float(case["seconds"][-1] / case["round"][-1])


def main() -> int:
    """Print the table and the medians; the exit status: 0, 1 beyond 20 %, 2 if none is had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", nargs="+", default=["10mbit", "100mbit"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
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
    errors = [
        float(np.median([abs(getattr(row, name) / row.measured - 1) for row in found]))
        for name in ("predicted", "throttled")
    ]
    print(f"median error: predicted {errors[0]:.0%}, throttled {errors[1]:.0%}")
    return 0 if max(errors) <= 0.2 else 1


if __name__ == "__main__":
    sys.exit(main())
