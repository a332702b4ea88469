"""A LIBSVM file read by all ranks, a range of bytes each: seconds, and memory per rank.

    python bench/reading.py

Writes a file of random rows into a temporary folder and starts this script on 1, 2, 4 ranks under
mpirun. Memory is what the process that takes most of it has grown by at its peak, text and numbers
included; `text` is the file over the ranks. One rank alone reads all of it. Exit status 1 if
checksums differ.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from mpi_lowrank.machine.launch import own_mpirun

COLUMNS, PAIRS, ROWS = 1000, 40, 2000
"""Features, those of a row, and the rows after which the file repeats."""


def write(path: Path, megabytes: float) -> None:
    random, lines = np.random.default_rng(0), []
    for _ in range(ROWS):
        columns = np.sort(random.choice(COLUMNS, PAIRS, replace=False)) + 1
        pairs = zip(columns, random.standard_normal(PAIRS), strict=True)
        lines.append(" ".join([str(random.integers(2)), *(f"{c}:{v:.6f}" for c, v in pairs)]))
    block = ("\n".join(lines) + "\n").encode()
    with open(path, "wb") as file:
        for _ in range(max(1, round(megabytes * 1e6 / len(block)))):
            file.write(block)


def read(path: str) -> None:
    """On each rank: read, and print on rank 0 the seconds, the most memory and the checksum."""
    from mpi_lowrank.comm import reading, world
    from mpi_lowrank.datasets import load

    comm, before = world.start(), _peak()
    comm.Barrier()
    began = perf_counter()
    data = reading.read(comm, path, 1 << 60)
    if data is None and comm.rank == 0:
        data = load(path)
    comm.Barrier()
    seconds, grown = perf_counter() - began, comm.gather(_peak() - before)
    if comm.rank == 0:
        print(seconds, max(grown), data.sha256)


def _peak() -> int:
    """The most bytes of memory that the process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(path: Path, ranks: int) -> tuple[float, float, str]:
    command = [own_mpirun(), "-n", str(ranks), sys.executable, __file__, "--of", str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    told = subprocess.check_output(command, env=environment, text=True).split()
    return float(told[0]), float(told[1]), told[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        read(options.of)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.svm")
        write(path, options.megabytes)
        size, sums = path.stat().st_size / 1e6, set()
        print(f"{size:.0f} MB\n  ranks  text, MB  memory, MB  seconds")
        for ranks in options.ranks:
            seconds, memory, sha256 = measured(path, ranks)
            sums.add(sha256)
            print(
                f"{ranks:>7}{size / ranks:>10.0f}{memory / 1e6:>12.0f}{seconds:>9.2f}", flush=True
            )
    if len(sums) > 1:
        sys.exit("checksums differ")


if __name__ == "__main__":
    main()
