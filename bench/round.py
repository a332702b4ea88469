"""Where a round's time goes, beside what NumPy alone would take.

    mpirun -n 2 python bench/round.py                       20 workers on mushrooms, Top-1
    mpirun -n 2 python bench/round.py --problem matrix      PowerSGD on a 2048 x 2048 matrix

mushrooms: the baseline is what the EF21 paper's scripts do in one process: a loop over workers with
dense float64 shards, products with the rows `A * y[:, None]`, an argpartition for Top-K, nothing
sent anywhere. `overhead` is what a round takes besides gradient, compressor (compress, decode) and
MPI calls, mean over ranks; MPI_LOWRANK_KERNELS chooses the kernels. matrix: one worker a rank,
float32, rank 4; every part stands beside NumPy's own call for the same thing, and the round beside
the dense Allreduce of the same matrix. All run interleaved; medians and ratios.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from mpi4py import MPI
from threadpoolctl import threadpool_limits

from mpi_lowrank import config
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import complete
from mpi_lowrank.compressors.factors.allreduced import orthonormal
from mpi_lowrank.datasets import load, shard_rows
from mpi_lowrank.kernels import told
from mpi_lowrank.record import Record
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream
from mpi_lowrank.run import experiment

ROUNDS, BATCHES, K, STEP = 500, 5, 1, 0.02

CONFIG = f"""
workers = 20
rounds = {ROUNDS}
evaluate_every = {ROUNDS}
stepsize = {STEP}
[[cases]]
method = "EF21"
compressor = {{ name = "topk", k = {K} }}
"""


def plain_script() -> float:
    """Seconds a round of the loop over workers."""
    data = load("mushrooms")
    dense = data.features.toarray().astype(float)
    rows = shard_rows(data.labels, 20, "contiguous", 0)
    shards = [(dense[r], data.labels[r].astype(float)) for r in rows]
    x = np.random.default_rng(0).standard_normal(dense.shape[1])
    estimates = np.zeros((20, x.size))
    began = perf_counter()
    for _ in range(ROUNDS):
        for estimate, (a, y) in zip(estimates, shards, strict=True):
            signed = a * y[:, None]
            gradient = -(signed.T @ (1 / (1 + np.exp(signed @ x)))) / len(y)
            gradient += 0.2 * x / (1 + x * x) ** 2
            difference = gradient - estimate
            kept = np.argpartition(np.abs(difference), -K)[-K:]
            estimate[kept] += difference[kept]
        x -= STEP * estimates.mean(axis=0)
    return (perf_counter() - began) / ROUNDS


def this_package(folder: Path) -> dict[str, float]:
    """Seconds a round, in all and by phase (mean over ranks), of the run through the door."""
    path = folder / "round.toml"
    if MPI.COMM_WORLD.rank == 0:
        path.write_text(CONFIG)
    MPI.COMM_WORLD.Barrier()
    experiment.run(config.load(path), MPI.COMM_WORLD, folder / "round.h5", overwrite=True)
    if MPI.COMM_WORLD.rank > 0:
        return {}
    (case,) = Record(folder / "round.h5").cases.values()
    phases = {name: case.phases[name].mean() / ROUNDS for name in case.phases.dtype.names[1:-1]}
    calls = case.ledger[case.ledger["purpose"] == b"uplink"]
    within = calls["seconds"].sum() / MPI.COMM_WORLD.size / ROUNDS
    others = phases["exchange"] + phases["update"] - within
    whole = case["seconds"][-1] / ROUNDS
    return {"round": whole, **phases, "in MPI": within, "overhead": others}


def mushrooms(comm: MPI.Comm) -> None:
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(comm.bcast(made))
        for _ in range(BATCHES):
            ours.append(this_package(folder))
            comm.Barrier()
            theirs.append(plain_script() if comm.rank == 0 else 0.0)
            comm.Barrier()
    if comm.rank == 0:
        middle = {name: median(batch[name] for batch in ours) for name in ours[0]}
        print(f"us per round, median of {BATCHES} batches of {ROUNDS} rounds, {comm.size} ranks")
        print(f"kernels: {told()}")
        print("".join(f"{name:>10}" for name in middle) + f"{'script':>10}{'ratio':>8}")
        plain = median(theirs)
        cells = "".join(f"{1e6 * value:>10.0f}" for value in middle.values())
        print(f"{cells}{1e6 * plain:>10.0f}{plain / middle['round']:>7.1f}x")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=("mushrooms", "matrix"), default="mushrooms")
    run = {"mushrooms": mushrooms, "matrix": matrix}[parser.parse_args().problem]
    with threadpool_limits(1, user_api="blas"):
        run(MPI.COMM_WORLD)


if __name__ == "__main__":
    main()
