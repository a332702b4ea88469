"""A round of low-rank EF21 on a matrix, beside its memory floor and the dense Allreduce.

    mpirun -n 2 python bench/lowrank.py
    mpirun -n 2 python bench/lowrank.py --hook     beside powerSGD_hook too: needs torch

One worker per rank, float32, through the exchange: D = gradient - g is projected, its factors
are Allreduced, the mean is added to g. The floor is what copying takes, all ranks at once: six
passes over the matrix for PowerSGD (gradient and g twice, g read and written), three for the forms
with one projection. All of a size run interleaved, each repeat takes what the slowest rank takes,
and the least of the repeats is told, since a disturbance only ever adds.
"""

import argparse
import os
from time import perf_counter

import numpy as np
from mpi4py import MPI
from threadpoolctl import threadpool_limits

from mpi_lowrank import kernels
from mpi_lowrank.comm.mpi import MpiTransport
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock

F4 = np.dtype(np.float32)
FORMS = {"powersgd": 6, "alternating": 3, "sketch": 3}
"""Passes over the matrix, each of which reads or writes it once."""


class Round:
    """EF21's exchange through one compressor, into a g of its own."""

    def __init__(self, comm: MPI.Intracomm, gradient: np.ndarray, name: str, rank: int):
        size, shape = comm.size, gradient.shape
        door = Door(MpiTransport(comm))
        self.exchange = Exchange(door, Placement(size, size, comm.rank), Clock(), F4)
        self.compressor = compressors[name](shape, F4, workers=size, rank=rank)
        self.exchange.prepare(self.compressor)
        self.gradient, self.g = gradient.reshape(1, -1), np.zeros(gradient.size, F4)
        self.room = np.empty_like(self.gradient)

    def __call__(self) -> None:
        difference = Difference(self.gradient, self.g, self.room)
        self.exchange.round += 1
        self.exchange(difference, self.compressor, own=False, add_to=self.g)


class Hook:
    """PyTorch's powerSGD_hook on the same matrix: error feedback, two Allreduces by gloo."""

    def __init__(self, comm: MPI.Intracomm, gradient: np.ndarray, rank: int):
        import torch
        from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook

        self.torch, self.hook = torch, powerSGD_hook.powerSGD_hook
        self.state = powerSGD_hook.PowerSGDState(
            None, matrix_approximation_rank=rank, start_powerSGD_iter=2, min_compression_rate=1
        )
        self.state.iter = 2
        self.gradient = torch.from_numpy(gradient)
        self.buffer = self.gradient.clone().reshape(-1)

    def __call__(self) -> None:
        self.buffer.copy_(self.gradient.reshape(-1))
        self.hook(self.state, Bucket(self.buffer, self.gradient.shape)).wait()


class Bucket:
    """What the hook asks of DistributedDataParallel's bucket: one matrix."""

    def __init__(self, buffer, shape):
        self._buffer, self._shape = buffer, shape

    def buffer(self):
        return self._buffer

    def index(self) -> int:
        return 0

    def is_last(self) -> bool:
        return True

    def gradients(self) -> list:
        return [self._buffer.view(self._shape)]


def measure(comm: MPI.Intracomm, parts: dict, repeats: int) -> dict[str, float]:
    """Milliseconds of each part, the slowest rank's, the least of the repeats."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            comm.Barrier()
            began = perf_counter()
            part()
            seconds = np.array(perf_counter() - began)
            slowest = np.empty_like(seconds)
            comm.Allreduce(seconds, slowest, MPI.MAX)
            taken[name].append(1e3 * float(slowest))
    return {name: min(values) for name, values in taken.items()}


def report(comm: MPI.Intracomm, size: int, ranks: list[int], repeats: int, hook: bool) -> None:
    gradient = np.random.default_rng(comm.rank).standard_normal((size, size), F4)
    source, target, total = gradient.copy(), np.empty_like(gradient), np.empty_like(gradient)
    parts = {
        "copy": lambda: np.copyto(target, source),
        "Allreduce": lambda: comm.Allreduce(source, total),
    }
    named = [(form, rank) for form in FORMS for rank in ranks]
    parts |= {f"{form} {rank}": Round(comm, gradient, form, rank) for form, rank in named}
    if hook:
        parts |= {f"hook {rank}": Hook(comm, gradient, rank) for rank in ranks}
    ms = measure(comm, parts, repeats)
    if comm.rank:
        return
    dense, one_pass = ms["Allreduce"], ms["copy"] / 2  # a copy reads and writes
    print(f"{size} x {size}: copy {ms['copy']:.2f} ms, dense Allreduce {dense:.2f} ms")
    print(
        f"{'form':<14}{'rank':>5}{'ms':>9}{'/ floor':>9}{'/ dense':>9}{'hook ms':>9}{'hook /':>8}"
    )
    for form, rank in named:
        mine, floor = ms[f"{form} {rank}"], FORMS[form] * one_pass
        line = f"{form:<14}{rank:>5}{mine:>9.2f}{mine / floor:>9.2f}{mine / dense:>9.2f}"
        if hook and form == "powersgd":
            theirs = ms[f"hook {rank}"]
            line += f"{theirs:>9.2f}{theirs / mine:>8.1f}"
        print(line)


def start_torch(comm: MPI.Intracomm) -> None:
    """One thread per rank, and gloo between the ranks."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
    dist.init_process_group("gloo", rank=comm.rank, world_size=comm.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 16, 64], help="of factors")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--hook", action="store_true", help="beside PyTorch's: needs torch")
    options, comm = parser.parse_args(), MPI.COMM_WORLD
    if options.hook:
        start_torch(comm)
    if comm.rank == 0:
        print(f"least of {options.repeats}, {comm.size} MPI ranks, kernels: {kernels.told()}")
    with threadpool_limits(1, user_api="blas"):
        for size in options.sizes:
            report(comm, size, options.ranks, options.repeats, options.hook)


if __name__ == "__main__":
    main()
