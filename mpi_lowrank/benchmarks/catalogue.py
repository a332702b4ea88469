"""The benches by name."""

from mpi_lowrank.benchmarks.bench import Bench
from mpi_lowrank.benchmarks.collectives import COLLECTIVES

BENCHES: dict[str, Bench] = {"collectives": COLLECTIVES}
