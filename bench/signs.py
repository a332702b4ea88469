"""Compiled factors of many small matrices, signs and zeros or an SVD's, beside NumPy's.

    python bench/signs.py

Gaussian rows of 112 numbers, one per worker; the least seconds of the repeats, in which both take
turns, of encode with its check and packing. `left`: the share of workers that the kernel does not
decide, because round-off might, and leaves to NumPy. Exit status 1 if a message differs in a bit,
or of an `svd`, whose sums are taken otherwise, if it stands for what differs by more than
round-off.
"""

import argparse
import os
import sys
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from mpi_lowrank.certificate import drive
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.kernels.choice import VARIABLE
from mpi_lowrank.run.components import make_operator

D = 112
SPECS = [
    *(f"kronecker:shape={shape}" for shape in ("7x16", "4x32", "14x8")),
    *(f"sdd:shape={shape}" for shape in ("7x16", "10x12", "4x32")),
    "sdd:rank=3,shape=7x16",
    *(f"svd:shape={shape}" for shape in ("7x16", "10x12", "4x28")),
]
UNITS = 60
"""Of round-off, times the length of the vector, by which what SVDs stand for may differ."""


def prepared(spec: str, kernels: str, dtype: str, workers: int):
    os.environ[VARIABLE] = kernels
    operator = make_operator(read_spec(spec), (D,), dtype, workers)
    drive.prepare(operator, workers)
    return operator


def measure(spec: str, dtype: str, workers: int, repeats: int) -> tuple[float, float, float, bool]:
    """Seconds with NumPy and compiled, the share that is left, and whether messages are equal."""
    x = np.random.default_rng(0).standard_normal((workers, D)).astype(dtype)
    operators = [prepared(spec, kernels, dtype, workers) for kernels in ("numpy", "numba")]
    messages = np.zeros((2, workers, operators[0].nbytes), np.uint8)
    taken = np.empty((repeats, 2))
    for repeat in range(repeats):
        for which, operator in enumerate(operators):
            began = perf_counter()
            operator.pack(x, messages[which], [])
            taken[repeat, which] = perf_counter() - began
    plain, compiled = taken.min(axis=0)
    if spec.startswith("svd"):
        return plain, compiled, 0.0, alike(operators[0], messages, x)
    same = np.array_equal(messages[0], messages[1])
    return plain, compiled, 1 - operators[1]._decided.mean(), same


def alike(operator, messages: np.ndarray, x: np.ndarray) -> bool:
    """Whether both kernels' messages stand for the same numbers, but for round-off."""
    decoded = np.empty((2, *x.shape), x.dtype)
    for some, out in zip(messages, decoded, strict=True):
        operator.unpack(some, out)
    error = np.linalg.norm(decoded[1] - decoded[0], axis=1)
    eps = np.finfo(np.float32).eps  # the type on the wire
    return bool((error <= UNITS * eps * np.linalg.norm(x, axis=1)).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    print(f"{'compressor':<24}{'state':<9}{'NumPy ms':>9}{'Numba ms':>9}{'ratio':>7}{'left':>8}")
    equal = True
    with threadpool_limits(1, user_api="blas"):
        for spec in SPECS:
            for dtype in ("float32", "float64"):
                plain, compiled, left, same = measure(spec, dtype, options.workers, options.repeats)
                head = f"{spec:<24}{dtype:<9}{1e3 * plain:>9.2f}{1e3 * compiled:>9.2f}"
                print(f"{head}{plain / compiled:>7.1f}{left:>8.2%}", flush=True)
                equal = equal and same
    if not equal:
        sys.exit("messages differ")


if __name__ == "__main__":
    main()
