"""Labels keep their type from the data set to the problem of every rank."""

import subprocess
import sys

import numpy as np
import pytest
from plugins import install

from mpi_lowrank.record import Record

SOURCE = """
import numpy as np

from mpi_lowrank.datasets.base import Dataset, Source
from mpi_lowrank.problems.base import Block, Problem, Smoothness

RNG = np.random.default_rng(3)
FEATURES = RNG.standard_normal((24, 5))
TARGETS = FEATURES @ RNG.standard_normal(5) / 4 + 0.01 * RNG.standard_normal(24)
LAMBDA = 1e-3


class Targets(Source):
    rows, features, licence, sha256 = 24, 5, "mine", "0" * 64

    def where(self):
        return "bundled"

    def fetch(self):
        return __file__

    def load(self):
        return Dataset(self.name, FEATURES, TARGETS, self.sha256)


class ManyClasses(Targets):
    def load(self):
        labels = np.arange(600) % 300
        features = np.random.default_rng(4).standard_normal((600, 3))
        return Dataset(self.name, features, labels, self.sha256)


class Ridge(Problem):
    '''Least squares with real targets.'''

    default_data = "targets"

    def __init__(self, shards, dtype):
        self.blocks, self._workers = (Block("x", (5,)),), shards.workers
        self.samples = np.array([len(b) for _, b in self._workers])

    @classmethod
    def model(cls, dataset, options):
        return (Block("x", (5,)),)

    def gradients(self, x, out, batch=None):
        for w, (A, b, point) in enumerate(self._each(x, batch)):
            out[w] = A.T @ (A @ point - b) / len(b) + LAMBDA * point

    def losses(self, x, out, batch=None):
        for w, (A, b, point) in enumerate(self._each(x, batch)):
            out[w] = np.sum((A @ point - b) ** 2) / (2 * len(b)) + LAMBDA / 2 * (point @ point)

    def _each(self, x, batch):
        for w, (A, b) in enumerate(self._workers):
            rows = slice(None) if batch is None else batch.rows[w, : batch.sizes[w]]
            yield A[rows], b[rows], x if x.ndim == 1 else x[w]

    def correct(self, x):
        return 0, 0

    def smoothness(self, mean):
        hessians = np.array([A.T @ A / len(A) + LAMBDA * np.eye(5) for A, _ in self._workers])
        whole = mean(hessians.reshape(len(hessians), -1)).reshape(5, 5)
        L_i = np.linalg.eigvalsh(hessians)[:, -1]
        return Smoothness(float(np.linalg.eigvalsh(whole)[-1]), L_i)
"""

CONFIG = """
workers = 4
rounds = 400
[[cases]]
method = "GD"
problem = "ridge"
[[cases]]
method = "GD"
problem = { name = "softmax", lambda = 1e-3 }
data = "many"
rounds = 5
[[cases]]
method = "ADIANA"
compressor = "natural"
problem = "least_squares"
data = "targets"
multiple = 3
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory, mpirun):
    """The records of the same run on one and on two ranks."""
    folder = tmp_path_factory.mktemp("labels")
    datasets = "targets = real:Targets\nmany = real:ManyClasses"
    install(folder, "real", SOURCE, problems="ridge = real:Ridge", datasets=datasets)
    (folder / "some.toml").write_text(CONFIG)
    program = ["env", f"PYTHONPATH={folder}", sys.executable, "-m", "mpi_lowrank", "run"]
    for ranks in "12":
        command = [mpirun, "-n", ranks, *program, "some.toml", "--out", f"{ranks}.h5"]
        subprocess.run(command, cwd=folder, check=True, timeout=60)
    return [Record(folder / f"{ranks}.h5") for ranks in (1, 2)]


def test_real_targets_lead_to_the_closed_form_optimum(records):
    made = {}
    exec(SOURCE, made)
    A, b, strength = made["FEATURES"], made["TARGETS"], made["LAMBDA"]
    x = np.linalg.solve(A.T @ A / 24 + strength * np.eye(5), A.T @ b / 24)
    least = np.sum((A @ x - b) ** 2) / 48 + strength / 2 * (x @ x)
    for record in records:
        case = next(iter(record.cases.values()))
        assert case.attributes["valid"] and case["loss"][-1] == pytest.approx(least, rel=1e-12)


def test_least_squares_takes_the_least_mu_of_all_ranks_and_tells_no_accuracy(records):
    """Every rank's momentum follows from mu, which is that of a worker on one of them."""
    made = {}
    exec(SOURCE, made)
    A, b = made["FEATURES"], made["TARGETS"]
    x = np.linalg.lstsq(A, b)[0]
    for record in records:
        case = next(case for label, case in record.cases.items() if "ADIANA" in label)
        assert case.attributes["valid"] and np.isnan(case["train_accuracy"]).all()
        assert case["loss"][-1] == pytest.approx(((A @ x - b) ** 2).mean(), rel=1e-6)


def test_one_and_two_ranks_have_the_same_bits_with_targets_and_with_300_classes(records):
    for one, two in zip(*(record.cases.values() for record in records), strict=True):
        assert one.attributes["valid"] and two.attributes["valid"]
        for column in ("loss", "grad_norm_sq", "train_accuracy"):
            np.testing.assert_array_equal(one[column], two[column])
