"""A problem of a user's own with metrics of its own, in one file: ridge regression."""

import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from plugins import install

from mpi_lowrank.config import parse
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import METRICS, Metric, Record
from mpi_lowrank.report import figures
from mpi_lowrank.report.medians import format_medians, median_rows
from mpi_lowrank.report.table import format_table, table_rows

RIDGE = '''
import numpy as np

from mpi_lowrank.problems.base import Block, Problem, Smoothness
from mpi_lowrank.record import Metric

LAMBDA = 1e-3
TRUTH = np.arange(1.0, 6.0)


class Ridge(Problem):
    """Least squares with real targets, made from the seed."""

    default_data = None
    metrics = (
        Metric("distance", "|x - x_true|", True, "dist", "|x - x_true|", scale="decades"),
        Metric("fit", "share of the targets' squares explained", False, "fit %", "fit (%)",
               scale="percent", every_row=True),
    )

    def __init__(self, shards, dtype):
        self.blocks = (Block("x", (5,)),)
        rngs = [np.random.default_rng([shards.seed, number]) for number in shards.numbers]
        self._A = np.array([rng.standard_normal((9, 5)) for rng in rngs])
        self._b = self._A @ TRUTH
        self.samples = np.full(len(rngs), 9)

    @classmethod
    def model(cls, dataset, options):
        return (Block("x", (5,)),)

    def _residuals(self, x):
        return self._A @ x - self._b

    def gradients(self, x, out, batch=None):
        out[...] = np.einsum("wji,wj->wi", self._A, self._residuals(x)) / 9 + LAMBDA * x

    def losses(self, x, out, batch=None):
        out[...] = np.sum(self._residuals(x) ** 2, axis=1) / 18 + LAMBDA / 2 * (x @ x)

    def correct(self, x):
        return 0, 0

    def measure(self, x, out):
        out[:, 0] = np.linalg.norm(x - TRUTH)
        squares = np.sum(self._residuals(x) ** 2, axis=1)
        out[:, 1] = 1 - squares / np.sum(self._b**2, axis=1)

    def smoothness(self, mean):
        hessians = np.swapaxes(self._A, 1, 2) @ self._A / 9 + LAMBDA * np.eye(5)
        whole = mean(hessians.reshape(len(hessians), -1)).reshape(5, 5)
        L_i = np.linalg.eigvalsh(hessians)[:, -1]
        return Smoothness(float(np.linalg.eigvalsh(whole)[-1]), L_i)
'''

CONFIG = """
workers = 4
rounds = 200
loss_every = 10
stepsize = "0.1/L"
[[cases]]
method = "GD"
problem = "ridge"
label = "ridge"
stop = { fit = 0.99 }
"""
OTHER = """
[[cases]]
method = "GD"
problem = { name = "matrix", shape = [4, 3] }
stop = { loss = 1e-9 }
label = "matrix"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory, mpirun):
    """Runs the program on so many ranks, where the problem is installed."""
    folder = tmp_path_factory.mktemp("ridge")
    install(folder, "ridge", RIDGE, problems="ridge = ridge:Ridge")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    (folder / "mine.toml").write_text(CONFIG + OTHER)
    (folder / "typo.toml").write_text(CONFIG.replace("fit =", "fitt ="))

    def program(ranks, *arguments):
        command = [mpirun, "-n", str(ranks), sys.executable, "-m", "mpi_lowrank", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
        )

    for ranks in (1, 2):
        done = program(ranks, "run", "mine.toml", "--out", f"{ranks}.h5")
        assert done.returncode == 0, done.stderr
    program.folder = folder
    return program


@pytest.fixture(scope="module")
def record(program):
    return Record(program.folder / "2.h5")


def test_it_is_recorded_with_its_declaration_and_ends_the_case(record, program):
    case = record.cases["ridge"]
    assert case.attributes["valid"], case.attributes["reasons"]
    assert case.metrics["fit"] == Metric(
        "fit",
        "share of the targets' squares explained",
        falls=False,
        heading="fit %",
        label="fit (%)",
        scale="percent",
        every_row=True,
    )
    assert case["fit"][-1] >= 0.99 > case["fit"][-2] and case["round"][-1] < 200
    assert case.metrics.keys() == {*METRICS, "distance", "fit"}
    assert record.cases["matrix"].metrics == METRICS
    one = Record(program.folder / "1.h5").cases["ridge"]
    for name in case.metrics:
        np.testing.assert_array_equal(one[name], case[name])


def test_it_is_measured_as_often_as_it_says(record):
    case = record.cases["ridge"]
    spaced = (case["round"] % 10 == 0) | (case["round"] == case["round"][-1])
    np.testing.assert_array_equal(np.isfinite(case["distance"]), spaced)
    np.testing.assert_array_equal(np.isfinite(case["loss"]), spaced)
    assert np.isfinite(case["fit"]).all() and np.isfinite(case["distance"]).sum() > 2


def test_it_is_a_target_and_a_column_of_the_table(record):
    case, target = record.cases["ridge"], ("fit", 0.5)
    rows = table_rows([record], target)
    assert rows == json.loads(json.dumps(rows))
    assert rows[0]["targets"][0]["reached"]["rounds"] == int(np.argmax(case["fit"] >= 0.5))
    assert rows[0]["fit"] == case["fit"][-1]
    assert rows[1]["targets"][0]["reached"] is None and "fit" not in rows[1]
    text = format_table(rows)
    assert {"dist", "fit %", f"{100 * case['fit'][-1]:.2f}"} <= set(re.split("  +|\n", text))
    assert "To fit >= 0.5" in text
    medians = median_rows([record], target)
    assert "To fit >= 0.5" in format_medians(medians)
    assert [row["lowest"] for row in medians] == [case["fit"].max(), None]


def test_it_has_a_panel_of_every_figure(record):
    figure = figures._draw_curves(figures.all_curves([record]), figures.X_AXES[0])
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert {"fit (%)", "|x - x_true|"} < panels.keys()
    assert panels["|x - x_true|"].get_yscale() == "log"
    (line,) = panels["fit (%)"].lines
    assert line.get_ydata()[-1] == 100 * record.cases["ridge"]["fit"][-1]


def test_a_name_that_is_not_a_metric_of_the_problem_suggests_the_nearest(program):
    typo = program(1, "run", "typo.toml", "--out", "typo.h5")
    assert typo.returncode and "did you mean fit?" in typo.stderr
    with pytest.raises(UserError, match=r"stop\.fit = 0\.99: allowed is one of the keys loss"):
        parse(CONFIG.replace('"ridge"', '"matrix"', 1), "else.toml")


@pytest.mark.parametrize("name", ["seconds", "a/b"])
def test_a_metric_cannot_take_the_name_of_another_column(name):
    made = {}
    exec(RIDGE, made)
    ridge = made["Ridge"]
    ridge.name, ridge.metrics = "ridge", (Metric(name, "", True, "", ""),)
    with pytest.raises(UserError, match=f"problem ridge: metric '{name}': expected a word"):
        ridge.measured()


@pytest.mark.parametrize(("attribute", "value"), [("scale", "steep"), ("falls", 3), ("odd", "x")])
def test_a_record_that_declares_nonsense_is_refused(program, tmp_path, attribute, value):
    path = tmp_path / "odd.h5"
    with h5py.File(program.folder / "2.h5") as source, h5py.File(path, "w") as target:
        for name, given in source.attrs.items():
            target.attrs[name] = given
        source.copy("cases", target)
        target["cases/ridge/rounds/fit"].attrs[attribute] = value
    with pytest.raises(UserError, match="cannot be read"):
        Record(path)
