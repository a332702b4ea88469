"""What the environment says of a launch, read before MPI is imported."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from mpi_lowrank.errors import UserError

SIZES = {
    "PMI_SIZE": "mpich",
    "OMPI_COMM_WORLD_SIZE": "openmpi",
    "SLURM_STEP_NUM_TASKS": "slurm",
}
"""The variable each launcher sets to its number of processes. SLURM_NTASKS is none of them: every
batch shell has it, inside a step or not."""

RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")

NUMBER = re.compile("[0-9]{1,9}")
BEYOND = 10**9
"""Above every rank and size."""

THREADS_A_CORE = 16
"""More BLAS threads per rank than this many times the machine's cores are a mistake."""

SHOWN = 40
"""Characters of a variable's text that an error repeats."""


@dataclass(frozen=True)
class Launch:
    """How this process was started."""

    launcher: str | None
    """mpich, openmpi, slurm, pmix (a PMIx launcher that told no size), or None: started alone."""
    size: int
    rank: int


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """The launch that `environment` describes; alone is size 1, rank 0.

    Raises UserError for a launcher's variable that is no number.
    """
    for variable in environment.keys() & set(RANKS):
        _read(variable, environment[variable], range(BEYOND))
    rank = told_rank(environment)
    for variable, launcher in SIZES.items():
        if (text := environment.get(variable)) is not None:
            return Launch(launcher, _read(variable, text, range(1, BEYOND)), rank)
    return Launch("pmix" if "PMIX_RANK" in environment else None, 1, rank)


def told_rank(environment: Mapping[str, str] = os.environ) -> int:
    """This process's rank as far as a launcher has told it; 0 where none has."""
    told = (environment[key] for key in RANKS if key in environment)
    return next((int(text) for text in told if NUMBER.fullmatch(text)), 0)


def blas_threads(environment: Mapping[str, str] = os.environ) -> int:
    """BLAS threads per rank: OMP_NUM_THREADS, else 1. Raises UserError for an impossible number."""
    most = THREADS_A_CORE * (os.cpu_count() or 1)
    return _read("OMP_NUM_THREADS", environment.get("OMP_NUM_THREADS") or "1", range(1, most + 1))


def _read(variable: str, text: str, allowed: range) -> int:
    if not NUMBER.fullmatch(text) or int(text) not in allowed:
        wanted = f"an integer from {allowed[0]} to {allowed[-1]}"
        raise UserError(f"{variable} = {text[:SHOWN]!r}: allowed is {wanted}; correct or unset it")
    return int(text)


def check_library(launch: Launch, library: str) -> None:
    """Refuse a launcher of another MPI than `library` (MPI_Get_library_version's text).

    Its processes would start as singletons, or hang in MPI_Init. Slurm's srun serves both, if it
    was told to: there `check_size` decides.
    """
    loaded = "openmpi" if "Open MPI" in library else "mpich"
    speaks = {"mpich": "mpich", "openmpi": "openmpi", "pmix": "openmpi"}.get(launch.launcher or "")
    if launch.size > 1 and speaks not in (None, loaded):
        raise UserError(
            f"launched by {launch.launcher}'s mpirun, but mpi4py loads {library_name(library)}: "
            + _advice(launch.size)
        )


def check_size(launch: Launch, size: int, library: str) -> None:
    """Raise UserError for N processes each of which sees an MPI world of `size`, not of N."""
    if size < launch.size:
        raise UserError(
            f"{launch.size} processes were launched, but MPI ({library_name(library)}) sees "
            f"a world of {size}: " + _advice(launch.size)
        )


def library_name(library: str) -> str:
    """ "MPICH 5.0.2" or "Open MPI v5.0.11" out of MPI_Get_library_version's text."""
    first = library.splitlines()[0].split(",")[0]
    return " ".join(first.replace("Version:", "").split())


def _advice(size: int) -> str:
    mpirun = own_mpirun()
    return f"start it with {mpirun} -n {size} (under Slurm with MPICH also: srun --mpi=pmi2)"


def own_mpirun() -> str:
    """The mpirun beside this Python (an MPI wheel's), else the first on the path."""
    beside = os.path.join(os.path.dirname(sys.executable), "mpirun")
    return beside if os.path.exists(beside) else shutil.which("mpirun") or "mpirun"
