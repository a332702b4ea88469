"""What a run calls, hands over and holds in memory, as ranks, coordinates and workers become more.

    python bench/scales.py

Small cases of EF21, run under mpirun where there are several ranks. Calls and KB are those of a
rank and a round, by the ledger; MB the most memory that one of the processes had, Python and its
libraries included. More ranks than cores wait for one another, so their seconds are not printed;
"modelled" is what a round's calls would take on NETWORK with a worker per rank, for more ranks than
can be started as well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from mpi_lowrank.door.network import Network
from mpi_lowrank.machine.launch import own_mpirun
from mpi_lowrank.predict.model import measured
from mpi_lowrank.record import Case, Record

CASE = """
workers = {workers}
rounds = {rounds}
dtype = "float32"
problem = {problem}
stepsize = 0.001
[[cases]]
method = "EF21"
compressor = "{compressor}"
"""
LOGISTIC = '{ name = "logistic", regularizer = "nonconvex" }'
QUADRATIC = '{{ name = "quadratic", dimension = {} }}'
MATRIX = '{ name = "matrix", shape = [7, 16] }'
NETWORK = "100gbit,2us"


class Ran(NamedTuple):
    """What a run has told: its case, the most MB of one of its processes, all its seconds."""

    case: Case
    megabytes: float
    seconds: float


def ran(folder: str, ranks: int, **given: object) -> Ran:
    """Run a case on so many ranks; `given` is what CASE leaves open."""
    launcher = [own_mpirun(), "-n", str(ranks)] if ranks > 1 else []
    text, out = Path(folder, "case.toml"), Path(folder, "case.h5")
    text.write_text(CASE.format(**given))
    out.unlink(missing_ok=True)
    run = [sys.executable, "-m", "mpi_lowrank", "run", text, "--out", out, "--quiet"]
    began = perf_counter()
    started = subprocess.Popen([*launcher, *run], env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(started.pid, 0)  # of it and of what it has waited for
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        sys.exit(f"a run on {ranks} ranks ended with status {started.returncode}")
    (case,) = Record(out).cases.values()
    return Ran(case, used.ru_maxrss * 1024 / 1e6, perf_counter() - began)


def by_ranks(folder: str, options: argparse.Namespace) -> None:
    """On few ranks measured, beyond them modelled from the last that were."""
    head = "".join(f"{part:>13}{'KB':>9}" for part in ("uplink calls", "eval. calls"))
    print(f"{'compressor':<16}{'ranks':>6}{head}{'MB':>6}{'modelled us':>13}")
    network, workers, rounds = Network.read(NETWORK), max(options.ranks), options.rounds
    for compressor in ("topk:k=2", "powersgd:rank=1"):
        given = {"problem": LOGISTIC, "compressor": compressor, "rounds": rounds}
        for ranks in options.ranks:
            found = ran(folder, ranks, workers=workers, **given)
            counts = "".join(told(found.case, ranks, part, rounds) for part in (b"uplink", b"eval"))
            print(f"{compressor:<16}{ranks:>6}{counts}{found.megabytes:>6.0f}", flush=True)
        cost = measured(found.case).cost
        for ranks in options.beyond:
            seconds = cost(ranks).seconds(network.latency, network.bandwidth)
            print(f"{compressor:<16}{ranks:>6}{'':>50}{1e6 * seconds:>13.0f}")


def told(case: Case, ranks: int, purpose: bytes, rounds: int) -> str:
    """Calls and KB per rank and round, of the purpose that begins so."""
    ledger = case.ledger
    rows = ledger[(ledger["round"] >= 0) & [p.startswith(purpose) for p in ledger["purpose"]]]
    share = ranks * rounds
    return f"{rows['calls'].sum() / share:>13.1f}{rows['bytes'].sum() / share / 1e3:>9.3f}"


def by_size(folder: str, options: argparse.Namespace) -> None:
    """One process: more coordinates with two workers, then more workers."""
    print(f"\n{'problem':<11}{'d':>9}{'workers':>9}{'MB':>7}{'run s':>8}{'round ms':>10}")
    sizes = [(QUADRATIC.format(d), d, 2, f"topk:k={max(1, d // 100)}") for d in options.d]
    sizes += [(MATRIX, 112, n, "sdd:shape=7x16") for n in options.workers]
    for problem, d, workers, compressor in sizes:
        given = {"problem": problem, "compressor": compressor, "rounds": options.rounds}
        found = ran(folder, 1, workers=workers, **given)
        of_round = 1e3 * found.case["seconds"][-1] / options.rounds
        figures = f"{found.megabytes:>7.0f}{found.seconds:>8.1f}{of_round:>10.2f}"
        name = str(found.case.attributes["problem"]).partition("(")[0]
        print(f"{name:<11}{d:>9}{workers:>9}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--beyond", type=int, nargs="+", default=[16, 100, 1000, 10_000])
    parser.add_argument("--d", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--workers", type=int, nargs="*", default=[100, 1000, 10_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        by_ranks(folder, options)
        by_size(folder, options)


if __name__ == "__main__":
    main()
