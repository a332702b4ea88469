"""A configuration run in shared memory, and on hosts with links of their own."""

import os
import subprocess
import sys
from pathlib import Path

import network

from mpi_lowrank.machine.launch import own_mpirun

SECONDS = 300
"""A run that takes longer hangs."""


def near(config: Path, out: Path, ranks: int, *options: str) -> None:
    """In shared memory, one BLAS thread a rank, as on the hosts. CalledProcessError if it fails."""
    subprocess.run(
        [own_mpirun(), "-n", str(ranks), *_command(config, out, options)],
        check=True,
        capture_output=True,
        timeout=SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def far(
    links: network.Network, config: Path, out: Path, *options: str, seconds: float = SECONDS
) -> None:
    """On the hosts, a rank each. RuntimeError if it fails, TimeoutExpired after `seconds`."""
    links.mpirun(own_mpirun(), _command(config, out, options), out.parent, seconds)


def _command(config: Path, out: Path, options: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "mpi_lowrank", "run", str(config), "--out", str(out), *options]
