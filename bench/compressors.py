"""Relative error against bits per number of every compressor, on four kinds of matrix.

    python bench/compressors.py --plot results/compressors.png

E|C(X) - X|^2 / |X|^2, the mean over matrices and draws, and 8 nbytes / d, for messages that vary in
length their measured mean. Gaussian: 64 x 64. Power law: sigma_i = 1/i in random bases. Digits and
mushrooms: X_i = grad f_i(x^{t+1}) - g_i^t, what EF21 compresses, out of two runs each, one with
Top-K and one with SVD.

All are compared as contractions: unbiased ones without such an option are multiplied by
1 / (1 + omega), marked "/(1+w)". An Allreduced one meets a single worker's matrix; `alternating`,
whose basis is the round before's, meets it twice and is judged by the second time. The figure names
a member of the frontier whose error is 10 % below the last named one's, the table all of them. The
dotted line is 4^(-bits): of Gaussian numbers nothing errs less, see mpi_lowrank.certificate.
"""

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from compressors_figure import Point, frontier, plot
from threadpoolctl import threadpool_limits

from mpi_lowrank import config
from mpi_lowrank.benchmarks.families import family, tensor_shape
from mpi_lowrank.certificate import default_specs, drive
from mpi_lowrank.compressors.wire.messages import LENGTH
from mpi_lowrank.config import Case
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.errors import OptionError
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.assembly import Assembly, assemble, ground
from mpi_lowrank.run.components import make_operator
from mpi_lowrank.run.loop import Observer, run_rounds
from mpi_lowrank.run.stopping import Schedule

SWEEPS = {
    "identity": ("", "wire=float16", "wire=bfloat16"),
    "dense": ("wire=float16",),
    # sparse
    "topk": (
        "k={k}",
        "k={k}+natural",
        "k={k}+natural:rounding=nearest",
        "k={k}+exponential_rounding:base=4.0,rounding=nearest",
        "k={k}+natural_dithering:levels=3",
        "k={k}+natural_dithering:levels=3,norm=linf,rounding=nearest",
        "k={k}+qsgd:levels=7,norm=linf",
        "k={k}+qsgd:levels=3,norm=linf,rounding=nearest",
        "k={k}+scaled_sign",
        "k={k}+ternary:rounding=nearest",
    ),
    "randk": ("k={k}", "k={k}+natural"),
    "shared_randk": ("k={k}",),
    "sparsify": ("k={k}.0,scale=biased", "k={k}.0,probabilities=optimal,scale=biased"),
    "bernoulli": ("p={p},scale=contractive",),
    "adaptive_random": ("",),
    "permk": ("scale=contractive",),
    # rounded
    "natural": ("rounding=contractive", "rounding=nearest"),
    "exponential_rounding": (
        "base={base},rounding=contractive",
        "base={base},rounding=nearest",
    ),
    "grid_rounding": ("rounding=contractive", "rounding=nearest"),
    "natural_dithering": (
        "levels={few},rounding=contractive",
        "levels={few},norm=linf,rounding=contractive",
        "levels={few},norm=linf,rounding=nearest",
        "levels={few},norm=linf,bucket=32,rounding=nearest",
    ),
    "exponential_dithering": ("base={base},levels=3,norm=linf,rounding=nearest",),
    "qsgd": (
        "levels={levels},rounding=contractive",
        "levels={levels},coding=elias,rounding=contractive",
        "levels={levels},norm=linf,rounding=contractive",
        "levels={levels},norm=linf,rounding=nearest",
        "levels={levels},norm=linf,bucket=32,rounding=nearest",
        "levels={levels},norm=linf,coding=elias,rounding=nearest",
    ),
    "ternary": (
        "rounding=contractive",
        "rounding=nearest",
        "bucket=32,rounding=contractive",
        "bucket=32,rounding=nearest",
    ),
    "scaled_sign": ("",),
    "shared_qsgd": ("levels={levels}",),
    # low rank
    "svd": (
        "rank={rank}",
        "rank={rank}+natural",
        "rank={rank}+natural_dithering:levels=7",
        "rank={rank}+qsgd:levels=7,norm=linf",
        "rank={rank}+qsgd:levels=31,norm=linf",
        "rank={rank}+ternary",
    ),
    "rsvd": ("rank={rank}", "rank={rank}+natural"),
    "rangefinder": ("columns={rank}", "columns={rank}+natural"),
    "pivoted_qr": ("rank={rank}", "rank={rank}+natural"),
    "interpolative": ("rank={rank}",),
    "spectral": ("budget={rank},scale=contractive", "budget={rank},scale=contractive+natural"),
    "adaptive": ("epsilon={epsilon}", "epsilon={epsilon}+natural"),
    "powersgd": ("rank={rank},basis=fresh",),
    "alternating": ("rank={rank}",),
    "sketch": ("rank={rank}",),
    "twosided": ("rows={rank},columns={rank}",),
    "tucker": ("shape={tensor},rank={rank}", "shape={tensor},rank={rank}+natural"),
    "tensor_train": ("shape={tensor},rank={rank}", "shape={tensor},rank={rank}+natural"),
    # low rank with coarse factors
    "kronecker": ("",),
    "sdd": ("rank={terms}",),
}
"""What is measured of each compressor; one without a line here is measured with its examples."""


def values(m: int, c: int) -> dict[str, list]:
    """What the names in SWEEPS stand for, of an m x c matrix."""
    d, q = m * c, min(m, c)
    return {
        "k": sorted({max(1, round(d / 2**j)) for j in range(1, 10)}),
        "rank": [r for r in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if r < q],
        "terms": [t for t in (1, 2, 4, 8, 16, 32, 64) if t <= 2 * q],
        "levels": [1, 3, 7, 15, 31, 127],
        "few": [1, 3, 7, 15],
        "base": [1.5, 3.0, 4.0, 8.0],
        "p": [0.03, 0.1, 0.3, 0.7],
        "epsilon": [0.9, 0.7, 0.5, 0.3, 0.1, 0.03],
        "tensor": ["x".join(map(str, tensor_shape(m, c)))],
    }


WORKERS = 8
"""Matrices that are compressed beside each other."""
DRAWS = 4
"""Draws a matrix, if anything is drawn."""


def specs(m: int, c: int) -> list[str]:
    """Everything that is measured on an m x c matrix."""
    known, found = values(m, c), []
    named = [(spec.partition(":")[0].partition("+")[0], spec) for spec in default_specs()]
    for name in dict.fromkeys(name for name, _ in named):
        for template in SWEEPS.get(name, ()):
            sweep = f"{name}:{template}" if template else name
            used = [key for key in known if f"{{{key}}}" in sweep]
            for chosen in product(*(known[key] for key in used)):
                found.append(sweep.format(**dict(zip(used, chosen, strict=True))))
        if name not in SWEEPS:
            found += [spec for of, spec in named if of == name and "shape" not in spec]
    return found


def measure(kind: str, matrices: np.ndarray) -> tuple[list[Point], dict[str, str]]:
    """The points of one kind, and why others cannot be asked of it; matrices (count, m, c)."""
    points, refused = [], {}
    for spec in specs(*matrices.shape[1:]):
        choice = read_spec(spec)
        try:
            operator = make_operator(choice, matrices.shape[1:], "float64", WORKERS)
        except OptionError as error:
            refused[spec] = f"{error.option} = {error.value}: allowed is {error.allowed}"
            continue
        decoded_into = _reduced if operator.shared else _gathered
        error, bits = decoded_into(operator, matrices.reshape(len(matrices), -1))
        mark = " /(1+w)" if operator.omega else ""
        names = Point(kind, family(choice), spec + mark, short_name(choice), budget(choice), 0, 0)
        points.append(replace(names, bits=bits, error=error))
    return points, refused


def _gathered(operator, x) -> tuple[float, float]:
    """(mean relative error, mean bits per number) of a compressor with messages."""
    drive.prepare(operator, WORKERS)
    errors, lengths = [], []
    for round in range(1 if operator.deterministic else DRAWS):
        for batch, rows in enumerate(x.reshape(-1, WORKERS, x.shape[1])):
            messages = drive.pack(operator, rows, round, seed=batch)
            decoded = drive.unpack(operator, messages, x.shape[1])
            errors.append(_relative(operator, decoded, rows))
            nbytes = np.full(WORKERS, operator.nbytes)
            if operator.variable:
                nbytes = messages[:, : LENGTH.itemsize].view(LENGTH)[:, 0]
            lengths.append(nbytes.mean())
    return float(np.mean(errors)), float(8 * np.mean(lengths) / x.shape[1])


def _reduced(operator, x) -> tuple[float, float]:
    """The same of one that is Allreduced; each matrix is met by one that remembers nothing."""
    errors, rounds = [], 2 if operator.name == "alternating" else 1
    for number, row in enumerate(x):
        for draw in range(DRAWS):
            drive.prepare(operator, 1)
            for round in range(rounds):
                own = drive.reduce(operator, row[np.newaxis], rounds * draw + round, number)[0]
            errors.append(_relative(operator, own, row[np.newaxis]))
    return float(np.mean(errors)), 8 * operator.nbytes / x.shape[1]


def _relative(operator, decoded, x):
    """|C(x) - x|^2 / |x|^2 of each row, C made a contraction."""
    if operator.omega:
        decoded = decoded / (1 + operator.omega)
    return ((decoded - x) ** 2).sum(axis=1) / (x**2).sum(axis=1)


def gaussian() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2 * WORKERS, 64, 64))


def power_law() -> np.ndarray:
    """Singular values 1, 1/2, 1/3, ... in random bases."""
    drawn = np.random.default_rng(1).standard_normal((2, 2 * WORKERS, 64, 64))
    left, right = np.linalg.qr(drawn).Q
    return left / np.arange(1, 65) @ right.transpose(0, 2, 1)


DIGITS = """
rounds = 60
evaluate_every = 10
workers = 10
x0 = "zeros"
stepsize = "1/L"
data = { name = "digits", order = "by_label" }
problem = { name = "softmax", lambda = 0.01 }
cases = [
    { method = "EF21", compressor = "topk:k=32" },
    { method = "EF21", compressor = "svd:rank=1" },
]
"""
MUSHROOMS = """
rounds = 60
evaluate_every = 10
workers = 20
stepsize = "1/L"
problem = { name = "logistic", regularizer = "nonconvex", lambda = 0.1 }
cases = [
    { method = "EF21", compressor = "topk:k=4" },
    { method = "EF21", compressor = "svd:rank=1" },
]
"""
LOOKED_AT = (1, 5, 20, 50)
"""The rounds whose differences are taken; round 0 sends g_i^0 whole."""


def differences(text: str, shape: tuple[int, int]) -> np.ndarray:
    """What EF21 compresses in those rounds of the cases, (count, *shape)."""
    cases = config.parse(text, Path("differences.toml")).cases
    rows = np.concatenate([np.concatenate(_compressed(case)) for case in cases])
    return rows[: len(rows) // WORKERS * WORKERS].reshape(-1, *shape)


def _compressed(case: Case) -> list[np.ndarray]:
    door = Door(Alone())
    made = assemble(case, ground(case, door), door)
    looked = Differences(made)
    run_rounds(made, [looked, Schedule(case)])
    return looked.taken


class Differences(Observer):
    """Takes X_i of all workers, (workers, d), before the rounds LOOKED_AT."""

    def __init__(self, made: Assembly):
        self._method, self._problem = made.method, made.ground.problem
        self.taken: list[np.ndarray] = []

    def round_begun(self, t: int) -> None:
        if t in LOOKED_AT:
            estimates, _ = self._method.estimate_error()
            gradients = np.empty_like(estimates)
            self._problem.gradients(self._method.x, gradients)
            self.taken.append(gradients - estimates)


KINDS = {
    "gaussian": ("Gaussian, 64 x 64", gaussian),
    "power": ("singular values 1/i, 64 x 64", power_law),
    "digits": (
        "differences, softmax on digits, 64 x 10",
        lambda: differences(DIGITS, (64, 10)),
    ),
    "mushrooms": (
        "differences, logistic on mushrooms, 7 x 16",
        lambda: differences(MUSHROOMS, (7, 16)),
    ),
}
"""What is compressed: its title, and what makes the matrices (count, m, c)."""


def short_name(choice: Choice) -> str:
    """topk+natural."""
    return f"{choice.name}+{short_name(choice.then)}" if choice.then else choice.name


def budget(choice: Choice) -> str:
    """k=8: the first option that is a number, of the last stage that has one in a sweep."""
    numbers = [f"{o}={v:g}" for o, v in choice.options.items() if isinstance(v, int | float)]
    return numbers[0] if numbers else ""


def print_frontier(kind: str, points: list[Point], refused: dict[str, str]) -> None:
    line = frontier(points)
    print(f"{kind}: {len(points)} measured, {len(refused)} refused, {len(line)} on the frontier")
    print(f"{'bits per number':>16}{'error':>12}  compressor")
    for point in line:
        print(f"{point.bits:>16.4g}{point.error:>12.4g}  {point.spec}")
    for spec, reason in refused.items():
        print(f"    refused: {spec}: {reason}"[:100])
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print every point as JSON")
    options = parser.parse_args()
    every = []
    with threadpool_limits(1, user_api="blas"):
        for kind, make in (KINDS[name] for name in options.kind):
            points, refused = measure(kind, make())
            every += points
            if not options.json:
                print_frontier(kind, points, refused)
    if options.json:
        print(json.dumps([vars(point) for point in every], indent=1))
    if options.plot:
        plot(every, options.plot)


if __name__ == "__main__":
    main()
