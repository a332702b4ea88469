"""Time one round of EF21 with Top-K on mushrooms, 20 workers, beside a plain NumPy script of it.

    python bench/round.py                    one rank
    mpirun -n 2 python bench/round.py        two

The baseline is what a paper's script does in one process: a loop over workers with dense float64
shards, `A @ x`, `A.T @ r` and an argsort for Top-K, nothing sent anywhere. Both run interleaved;
medians of the batches and their ratio are printed.
"""

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from mpi4py import MPI

from mpi_lowrank import config, experiment
from mpi_lowrank.datasets import load, shard_rows
from mpi_lowrank.record import Record

ROUNDS, BATCHES, K, STEP = 500, 5, 2, 0.02

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
            gradient = -(a.T @ (y / (1 + np.exp(y * (a @ x))))) / len(y)
            gradient += 0.2 * x / (1 + x * x) ** 2
            difference = gradient - estimate
            kept = np.argsort(np.abs(difference))[-K:]
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
    return {"round": case["seconds"][-1] / ROUNDS, **phases}


def main() -> None:
    comm = MPI.COMM_WORLD
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
        print(f"us a round, median of {BATCHES} batches of {ROUNDS} rounds, {comm.size} ranks")
        print("".join(f"{name:>10}" for name in middle) + f"{'script':>10}{'ratio':>8}")
        plain = median(theirs)
        cells = "".join(f"{1e6 * value:>10.0f}" for value in middle.values())
        print(f"{cells}{1e6 * plain:>10.0f}{plain / middle['round']:>7.1f}x")


if __name__ == "__main__":
    main()
