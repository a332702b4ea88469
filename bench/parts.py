"""A round of PowerSGD on a matrix, part by part, beside NumPy's own calls in the same run.

    mpirun -n 2 python bench/parts.py

One worker a rank, 2048 x 2048, float32, rank 4; every part stands beside NumPy's own call for the
same thing, and the round beside the dense Allreduce of the same matrix; medians and ratios.
"""

from statistics import median
from time import perf_counter

import numpy as np
from mpi4py import MPI
from threadpoolctl import threadpool_limits

from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import complete
from mpi_lowrank.compressors.factors.allreduced import orthonormal
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream

SIZE, RANK, REPEATS = 2048, 4, 25


class Parts:
    """Seconds of named parts, once a repeat."""

    def __init__(self):
        self.seconds: dict[str, list[float]] = {}
        self._last = perf_counter()

    def start(self) -> None:
        self._last = perf_counter()

    def end(self, part: str) -> None:
        now = perf_counter()
        self.seconds.setdefault(part, []).append(now - self._last)
        self._last = perf_counter()

    def milliseconds(self, part: str) -> float:
        return 1e3 * median(self.seconds[part][2:])


def matrix(comm: MPI.Comm) -> None:
    """One PowerSGD round in the EF21 frame, part by part, and the same parts by NumPy."""
    d, f4 = SIZE * SIZE, np.dtype(np.float32)
    compressor = compressors["powersgd"]((SIZE, SIZE), f4, rank=RANK, basis="fresh")
    compressor.prepare(1, 1)
    gradient = np.random.default_rng(comm.rank).standard_normal((1, d), dtype=f4)
    estimate, difference, mean = np.zeros(d, f4), np.empty((1, d), f4), np.empty(d, f4)
    beside = np.empty((SIZE, SIZE), f4)
    stream, parts = Stream(0, Purpose.COMPRESS, SHARED), Parts()
    left = np.empty((SIZE, RANK), f4)
    names = iter(())

    def average(rows: np.ndarray) -> np.ndarray:
        work, factor = next(names)
        parts.end(work)
        total = allreduce(comm, rows)
        parts.end(f"Allreduce {factor}")
        if factor == "P":
            left[...] = orthonormal(total.reshape(SIZE, RANK))
            parts.end("orthonormalise")
        return total

    for t in range(REPEATS):
        names = iter((("P = D Q", "P"), ("orthonormalise and Q = D^T P", "Q")))
        comm.Barrier()
        parts.start()
        np.subtract(gradient, estimate, out=difference)
        parts.end("difference")
        phases = compressor.reduce(difference, None, mean, stream.at(t), ())
        complete(phases, average, average)
        parts.end("P Q^T")
        estimate += mean
        parts.end("update g")
        numpy_parts(parts, difference[0].reshape(SIZE, SIZE), left, beside)
        comm.Barrier()
        parts.start()
        allreduce(comm, difference)
        parts.end("dense Allreduce")
    if comm.rank == 0:
        print_parts(parts, comm.size)


def allreduce(comm: MPI.Comm, rows: np.ndarray) -> np.ndarray:
    """The mean over ranks, one worker per rank, (1, k) to (k,)."""
    total = np.empty(rows.shape[1], rows.dtype)
    comm.Allreduce(rows, total)
    total /= comm.size
    return total


def numpy_parts(parts: Parts, D: np.ndarray, left: np.ndarray, out: np.ndarray) -> None:
    """The same by NumPy's own calls: a drawn basis, two products, QR, an outer product."""
    generator = np.random.default_rng(0)
    parts.start()
    right = generator.standard_normal((SIZE, RANK), dtype=np.float32)
    np.matmul(D, right)
    parts.end("numpy P = D Q")
    np.linalg.qr(left)
    parts.end("numpy orthonormalise")
    np.matmul(D.T, left)
    parts.end("numpy Q = D^T P")
    np.matmul(left, right.T, out=out)
    parts.end("numpy P Q^T")


def print_parts(parts: Parts, ranks: int) -> None:
    ms = parts.milliseconds
    ours = {name: ms(name) for name in parts.seconds if not name.startswith(("numpy", "dense"))}
    both = ours.pop("orthonormalise and Q = D^T P")
    ours["Q = D^T P"] = both - ours["orthonormalise"]
    print(
        f"ms, median of {REPEATS - 2} rounds, {SIZE} x {SIZE} float32, rank {RANK}, {ranks} ranks"
    )
    print(f"{'part':<18}{'ours':>8}{'NumPy':>8}{'ratio':>8}")
    for name, mine in ours.items():
        theirs = ms("numpy " + name) if "numpy " + name in parts.seconds else None
        beside = f"{theirs:>8.2f}{mine / theirs:>8.2f}" if theirs else f"{'-':>8}{'-':>8}"
        print(f"{name:<18}{mine:>8.2f}{beside}")
    whole, dense = sum(ours.values()), ms("dense Allreduce")
    print(f"{'round':<18}{whole:>8.2f}   dense Allreduce {dense:.2f}   ratio {whole / dense:.2f}")


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):
        matrix(MPI.COMM_WORLD)
