"""Run cases on hosts with links of their own; compare the ledger with the kernel's counters.

    sudo .venv/bin/python bench/audit/audit.py

README.md beside this file says what is compared, and what the difference is made of.
"""

import argparse
import itertools
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import network
import numpy as np

from mpi_lowrank.comm.launch import own_mpirun
from mpi_lowrank.record import Case, Record

CONFIG = Path(__file__).with_name("audit.toml")

IN_ROUNDS = [b"uplink", b"downlink"]
"""The purposes of the calls that a method itself makes."""

SECONDS = 100
"""A case that takes longer hangs."""

HEADER = """\
Bytes of whole runs, summed over hosts: launch, setup, rounds, evaluations, checks; nothing left out.
  ledger     what ranks handed to MPI; `rounds` is the share of the method's own rounds in it
  model      what that makes on the wire, p ranks: Allreduce 2(p-1)/p a rank (ring), Allgatherv p-1,
             Gatherv and Bcast (p-1)/p, Send 1
  kernel     tx_bytes of the hosts' links, after the queues have emptied: with all headers and ACKs
             kernel/model is to be 1 to 1.02, on shaped links 1 to 1.07
"""


@dataclass(frozen=True)
class Row:
    """One case on one network; bytes are sums over hosts."""

    case: str
    hosts: int
    rate: str | None
    ledger: int
    rounds: int
    model: float
    kernel: int

    @property
    def ratio(self) -> float:
        return self.kernel / self.model

    @property
    def holds(self) -> bool:
        """Whether no byte is missing in the kernel's count, and few are more than the model's."""
        return 1 <= self.ratio <= (1.07 if self.rate else 1.02)


def unavailable() -> str | None:
    """Why the audit cannot run here; None if it can."""
    version = subprocess.run([own_mpirun(), "--version"], capture_output=True, text=True).stdout
    if "HYDRA" not in version:
        return f"{own_mpirun()} is not MPICH's, whose hosts are placed in namespaces"
    return network.unavailable()


def audit(hosts: int, rate: str | None, settings: Sequence[str] = ()) -> Iterator[Row]:
    """Every case of audit.toml on one network, a row each; `settings` are `run --set`'s."""
    head, *cases = CONFIG.read_text().split("[[cases]]")
    with tempfile.TemporaryDirectory() as folder, network.running(hosts, rate) as links:
        for number, case in enumerate(cases):
            config = Path(folder, f"{number}.toml")
            config.write_text(f"{head}[[cases]]{case}")
            yield _row(links, rate, config, settings)


def _row(links: network.Network, rate: str | None, config: Path, settings: Sequence[str]) -> Row:
    out = config.with_suffix(".h5")
    command = [sys.executable, "-m", "mpi_lowrank", "run", str(config), "--out", str(out)]
    command += [f"--set={setting}" for setting in settings]
    before = links.sent_bytes()
    links.mpirun(own_mpirun(), command, config.parent, SECONDS)
    kernel = links.sent_bytes() - before
    case = _checked(Record(out), links.hosts)
    ledger = case.ledger
    return Row(
        case=case.label,
        hosts=links.hosts,
        rate=rate,
        ledger=int(ledger["bytes"].sum()),
        rounds=int(ledger["bytes"][np.isin(ledger["purpose"], IN_ROUNDS)].sum()),
        model=float(ledger["modelled"].sum()),
        kernel=kernel,
    )


def _checked(record: Record, hosts: int) -> Case:
    """The record's case, if it is one rank a host and nothing is wrong with it."""
    (case,) = record.cases.values()
    names = [f"host{number}" for number in range(1, hosts + 1)]
    assert record.attributes["hosts"] == names, record.attributes["hosts"]
    assert case.attributes["valid"], case.attributes["reasons"]
    return case


def _line(row: Row) -> str:
    share = 100 * row.rounds / row.ledger
    verdict = "" if row.holds else "  beyond"
    return (
        f"{row.case:<28}{row.hosts:>5}{row.rate or 'none':>9}{row.ledger:>12}{share:>7.0f}%"
        f"{row.model:>12.0f}{row.kernel:>12}{row.ratio:>8.4f}{verdict}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", nargs="+", default=["none", "100mbit", "10mbit"])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the namespaces go in any case
    if reason := unavailable():
        print(f"audit: cannot run here: {reason}", file=sys.stderr)
        return 2
    print(HEADER)
    print(
        f"{'case':<28}{'hosts':>5}{'rate':>9}{'ledger':>12}{'rounds':>8}"
        f"{'model':>12}{'kernel':>12}{'ratio':>8}"
    )
    rows = []
    for hosts, rate in itertools.product(options.hosts, options.rates):
        for row in audit(hosts, None if rate == "none" else rate):
            print(_line(row), flush=True)
            rows.append(row)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
