"""Messages of many workers: encoded and added up at once, beside worker by worker in the same run.

    python bench/many.py

Gaussian rows of 112 numbers, one per worker. `encode` has its check and packing; `sum` decodes all
messages and adds them in worker order. "one by one" calls the same NumPy code with one row at a
time. The least milliseconds of the repeats, which alternate. Exit status 1 if a message or a sum
differs in a bit.
"""

import argparse
import os
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.certificate import drive
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.kernels.choice import VARIABLE
from mpi_lowrank.run.components import make_operator

D = 112
SPECS = (
    *("qsgd:levels=10,coding=elias", "qsgd:levels=4", "natural", "ternary", "scaled_sign"),
    "sparsify:k=4.0",
)
WAYS = {"one by one": ("numpy", 1), "NumPy": ("numpy", 0), "Numba": ("numba", 0)}
"""The kernels, and the rows of a call; 0 for all."""


class Way:
    """One way to encode all rows and to add up their messages."""

    def __init__(self, spec: str, x: np.ndarray, kernels: str, step: int):
        os.environ[VARIABLE] = kernels
        self.x, self.step = x, step or len(x)
        self.operator = make_operator(read_spec(spec), (D,), x.dtype, len(x))
        drive.prepare(self.operator, len(x))
        self.messages = np.zeros((len(x), self.operator.nbytes), np.uint8)
        self.weights, self.mean = np.full(len(x), 1 / len(x), x.dtype), np.empty(D, x.dtype)
        self.row = np.empty((1, D), x.dtype)

    def begin(self) -> None:
        """Make the generators anew, so that all repeats draw the same."""
        self.draws = drive.own_draws(self.operator, len(self.x), 0, 0, 0)

    def encode(self) -> None:
        for at in range(0, len(self.x), self.step):
            some = slice(at, at + self.step)
            self.operator.pack(self.x[some], self.messages[some], self.draws[some])

    def sum(self) -> None:
        if self.step == len(self.x):
            self.operator.decode_sum(self.messages, self.weights, self.mean)
            return
        self.mean[:] = 0
        for at in range(len(self.x)):
            self.operator.decode(self.messages[at : at + 1], self.row)
            self.row *= self.weights[at]
            self.mean += self.row[0]


def milliseconds(way: Way, part: str) -> float:
    way.begin()
    call: Callable[[], None] = getattr(way, part)
    began = perf_counter()
    call()
    return 1e3 * (perf_counter() - began)


def measure(spec: str, workers: int, repeats: int) -> bool:
    """Print both parts' lines; whether all ways have the same bits."""
    x = np.random.default_rng(0).standard_normal((workers, D), np.float32)
    ways = [Way(spec, x, *how) for how in WAYS.values()]
    for part in ("encode", "sum"):
        taken = [[milliseconds(way, part) for way in ways] for _ in range(repeats)]
        least = np.min(taken, axis=0)
        ratios = "".join(f"{ms:>10.2f}{least[0] / ms:>7.1f}" for ms in least[1:])
        print(f"{spec:<30}{part:<8}{least[0]:>10.2f}{ratios}", flush=True)
    same = [
        np.array_equal(ways[0].messages, way.messages) and np.array_equal(ways[0].mean, way.mean)
        for way in ways
    ]
    return all(same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    heads = "".join(f"{way:>10}{'ratio':>7}" for way in ("NumPy", "Numba"))
    print(f"{'compressor':<30}{'part':<8}{'one by one':>10}{heads}")
    with threadpool_limits(1, user_api="blas"):
        same = [measure(spec, options.workers, options.repeats) for spec in SPECS]
    if not all(same):
        sys.exit("messages or sums differ")


if __name__ == "__main__":
    main()
