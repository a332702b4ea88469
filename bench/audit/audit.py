"""Run cases on hosts with links of their own; compare the ledger with the kernel's counters.

    .venv/bin/python bench/audit/audit.py        as root

README.md beside this file says what is compared, and what the difference is made of.
"""

import argparse
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import network
import numpy as np
import runs

from mpi_lowrank.machine.launch import own_mpirun
from mpi_lowrank.record import Case, Record
from mpi_lowrank.record.costs import METHODS_OWN

CONFIG = Path(__file__).with_name("audit.toml")

SECONDS = 120
"""A run that takes longer hangs."""

HEADER = """\
Bytes of whole runs, summed over hosts: launch, setup, rounds, evaluation and checks alike.
  ledger  what the ranks handed to MPI, and the share of the method's own rounds in it
  model   what a mean one of p ranks sends onto the wire for a byte handed over: Allreduce
          2(p-1)/p (ring), Allgatherv p-1 (ring), Gatherv and Bcast (p-1)/p, Send 1, Recv 0
  kernel  what the hosts' links have sent by the kernel's count, headers and acknowledgements
          included; kernel / model is to be from 1 to 1.02, on shaped links from 1 to 1.07

case              hosts     rate     ledger  rounds      model     kernel  kernel / model"""


@dataclass(frozen=True)
class Row:
    """One run; bytes are sums over hosts."""

    case: str
    hosts: int
    rate: str | None
    ledger: int
    own: int
    """The part of `ledger` that the method's rounds make."""
    model: float
    kernel: int

    @property
    def ratio(self) -> float:
        return self.kernel / self.model

    @property
    def holds(self) -> bool:
        """Whether the wire carried all that the ledger tells, and little else."""
        return 1 <= self.ratio <= (1.07 if self.rate else 1.02)

    def __str__(self) -> str:
        return (
            f"{self.case:<18}{self.hosts:>5}{self.rate or 'none':>9}{self.ledger:>11}"
            f"{self.own / self.ledger:>8.0%}{self.model:>11.0f}{self.kernel:>11}{self.ratio:>16.4f}"
            + ("" if self.holds else "  beyond")
        )


def unavailable() -> str | None:
    """Why the audit cannot run here; None if it can."""
    launcher = shutil.which(own_mpirun())
    if launcher is None:
        return "no mpirun beside this Python or on the PATH"
    version = subprocess.run([launcher, "--version"], capture_output=True, text=True).stdout
    if "HYDRA" not in version:
        return f"{launcher} is not MPICH's: only that one is told here where its hosts are"
    return network.unavailable()


def configurations() -> dict[str, str]:
    """audit.toml as a configuration of its own for each case, by label."""
    head, *cases = CONFIG.read_text().split("[[cases]]")
    return {tomllib.loads(case)["label"]: f"{head}[[cases]]{case}" for case in cases}


def audit(
    hosts: int, rate: str | None, labels: Collection[str], settings: Collection[str] = ()
) -> Iterator[Row]:
    """Run the cases of these labels on a network made for them, a row each.

    `rate` is tc's, such as "10mbit", None for links that are not shaped; `settings` are those of
    `mpi-lowrank run --set`.
    """
    texts = configurations()
    with tempfile.TemporaryDirectory() as folder, network.running(hosts, rate) as links:
        for label in labels:
            config = Path(folder, f"{label}.toml")
            config.write_text(texts[label])
            kernel = _run(links, config, settings)
            yield _row(rate, kernel, Record(config.with_suffix(".h5")), hosts)


def _run(links: network.Network, config: Path, settings: Collection[str]) -> int:
    """Run the program, a rank a host; the bytes that the links have sent for it."""
    told = [f"--set={setting}" for setting in settings]
    before = links.sent_bytes()
    runs.far(links, config, config.with_suffix(".h5"), *told, seconds=SECONDS)
    return links.sent_bytes() - before


def _row(rate: str | None, kernel: int, record: Record, hosts: int) -> Row:
    (case,) = record.cases.values()
    _check(record, case, hosts)
    calls = case.ledger
    own = np.isin(calls["purpose"], METHODS_OWN)
    ledger, model = int(calls["bytes"].sum()), float(calls["modelled"].sum())
    return Row(case.label, hosts, rate, ledger, int(calls["bytes"][own].sum()), model, kernel)


def _check(record: Record, case: Case, hosts: int) -> None:
    """Stop at a run that had not one rank per host, or whose own checks found something."""
    expected = [f"host{number}" for number in range(1, hosts + 1)]
    if record.attributes["hosts"] != expected:
        raise RuntimeError(f"{case.label}: ran on {record.attributes['hosts']}, not {expected}")
    if not case.attributes["valid"]:
        raise RuntimeError(f"{case.label}: not valid: {'; '.join(case.attributes['reasons'])}")


def main() -> int:
    """Print the table; the exit status: 0, 1 if a ratio is beyond its limit, 2 if none is had."""
    options = _options()
    if reason := unavailable():
        print(f"audit: cannot run here: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespaces go in any case
    print(HEADER)
    hold = True
    for hosts, rate in itertools.product(options.hosts, options.rates):
        for row in audit(hosts, None if rate == "none" else rate, configurations()):
            print(row, flush=True)
            hold &= row.holds
    return 0 if hold else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4])
    text = 'of tc, such as 100mbit, or "none": links that are not shaped'
    parser.add_argument("--rates", nargs="+", default=["none", "100mbit", "10mbit"], help=text)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
