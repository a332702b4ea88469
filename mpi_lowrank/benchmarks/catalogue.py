"""The benches by name."""

from mpi_lowrank.benchmarks.bench import Bench
from mpi_lowrank.benchmarks.collectives import COLLECTIVES
from mpi_lowrank.benchmarks.kernels import KERNELS
from mpi_lowrank.benchmarks.round import ROUND
from mpi_lowrank.benchmarks.scaling import SCALING

BENCHES: dict[str, Bench] = {
    "collectives": COLLECTIVES,
    "kernels": KERNELS,
    "round": ROUND,
    "scaling": SCALING,
}
