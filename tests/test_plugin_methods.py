"""Plug-ins in one file each: momentum over any method, and a method that sends two messages."""

import os
import subprocess
import sys

import numpy as np
import pytest
from dense_reference import Logistic
from plugins import install

from mpi_lowrank.record import Record

POLYAK = '''
from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError
from mpi_lowrank.steps.base import Step


class Polyak(Step):
    """v = beta v + gamma direction; x -= v (Polyak 1964)."""

    beta: float = option(0.9)

    def __init__(self, x, stepsize, state, shapes, **options):
        super().__init__(x, stepsize, state, shapes, **options)
        self._velocity = state.array("velocity", x.shape)

    @classmethod
    def check(cls, options):
        if not 0 <= options.beta < 1:
            raise OptionError("beta", options.beta, "a number from 0 to below 1")

    def move(self, displacement, gamma):
        self._velocity *= self.beta
        self._velocity += displacement
        self.x -= self._velocity
'''

TWICE = '''
import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.registry import Choice


class Twice(EF21):
    """EF21 that sends C(v), then D(v - C(v)) (Horvath, Richtarik 2021), v = grad f_i - g_i."""

    second: Choice = option()

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._second = setting.uplink("second", self.second)
        self._change = np.zeros_like(self._difference)

    def round(self, t):
        if t == 0:
            self._learn(t)
            self._change[:] = self._estimates
        else:
            v = np.subtract(self.gradients(self.x), self._estimates, out=self._difference)
            own, mean = self.exchange(v, self.compressor)
            v -= own
            rest, mean_rest = self.exchange(v, self._second)
            np.add(own, rest, out=self._change)
            self._estimates += self._change
            self._estimate += mean
            self._estimate += mean_rest
        self.move(self._estimate)

    def estimate_change(self):
        return self._change
'''

CONFIG = """
workers = 5
rounds = 12
loss_every = 4
seed = 3
stepsize = "0.5/L"
[[cases]]
method = "GD"
step = [{name = "polyak", beta = 0.5}, "plain", {name = "polyak", beta = 0.0}]
compressor = "identity:wire=float64"
[[cases]]
method = ["DCGD", "EF14", "EF21"]
compressor = ["topk:k=8", "powersgd:rank=1"]
reduction = "ordered"
stepsize = "0.02/L"
step = ["plain", {name = "polyak", beta = [0.0, 0.5]}]
[[cases]]
method = "EF21-PP"
compressor = "topk:k=8"
stepsize = "0.02/L"
step = ["plain", {name = "polyak", beta = [0.0, 0.5]}]
[[cases]]
method = {name = "EF21-BC", downlink = "topk:k=20"}
compressor = "topk:k=8"
topology = "server"
stepsize = "0.02/L"
step = ["plain", {name = "polyak", beta = [0.0, 0.5]}]
[[cases]]
method = ["EF21", {name = "twice", second = "topk:k=5"}]
compressor = ["topk:k=8", "topk:k=3"]
stepsize = "0.05/L"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory, mpirun):
    """Runs the program on so many ranks, where both are installed; its status and its errors."""
    folder = tmp_path_factory.mktemp("momentum")
    install(folder, "mine", POLYAK, steps="polyak = mine:Polyak")
    install(folder, "twice", TWICE, methods="twice = twice:Twice")
    (folder / "mine.toml").write_text(CONFIG)

    def program(ranks, *arguments):
        command = [mpirun, "-n", str(ranks), sys.executable, "-m", "mpi_lowrank", *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.returncode, done.stderr

    program.folder = folder
    return program


@pytest.fixture(scope="module")
def records(program):
    """By the number of ranks."""
    for ranks in (1, 2):
        assert program(ranks, "run", "mine.toml", "--out", f"{ranks}.h5") == (0, "")
    return {ranks: Record(program.folder / f"{ranks}.h5") for ranks in (1, 2)}


def test_every_case_is_valid_and_the_same_on_two_ranks(records):
    assert len(records[1].cases) == 3 + (3 * 2 + 1) * 3 + 3 + 4
    for label, case in records[1].cases.items():
        other = records[2].cases[label]
        assert case.attributes["valid"] and other.attributes["valid"], (label, other.attributes)
        for column in ("grad_norm_sq", "uplink_bytes"):
            np.testing.assert_array_equal(case[column], other[column], label)


def test_momentum_is_polyak_s_recursion(records):
    case = records[1].cases["GD + identity(wire=float64), polyak(beta=0.5) 0.5/L"]
    problem = Logistic(5)
    gamma = 0.5 / problem.smoothness()[0]
    x = before = np.random.default_rng(3).standard_normal(112)
    for measured in case["grad_norm_sq"]:
        np.testing.assert_allclose(measured, problem.grad_norm_sq(x), rtol=1e-9)
        x, before = x - gamma * problem.gradients(x).mean(axis=0) + 0.5 * (x - before), x


def test_without_momentum_each_method_moves_as_with_the_plain_step(records):
    cases = records[1].cases
    without = [label for label in cases if "beta=0)" in label]
    assert len(without) == 1 + 3 * 2 + 1 + 1
    for label in without:
        plain = cases[label.replace(", polyak(beta=0)", "")]
        np.testing.assert_array_equal(cases[label]["grad_norm_sq"], plain["grad_norm_sq"])
        other = cases[label.replace("beta=0)", "beta=0.5)")]["grad_norm_sq"]
        assert (other[2:] != plain["grad_norm_sq"][2:]).all() and other[1] == plain["grad_norm_sq"][
            1
        ]


def test_two_messages_of_three_and_five_coordinates_are_one_of_eight(records):
    cases = records[1].cases
    two = cases["twice(second=topk(k=5)) + Top-3 0.05/L"]
    one = cases["EF21 + Top-8 0.05/L"]
    np.testing.assert_allclose(two["grad_norm_sq"], one["grad_norm_sq"], rtol=1e-12)
    # Indices of 7 bits and numbers of 4 bytes: 3 and 5 of them, each message in whole bytes.
    sent = np.diff(two["uplink_bytes"])
    assert sent[0] == 448 and set(sent[1:]) == {(3 + 12) + (5 + 20)}


def test_a_wrong_option_is_refused_on_every_rank_by_its_name(program):
    (program.folder / "wrong.toml").write_text(
        '[[cases]]\nmethod = "GD"\nstep = {name = "polyak", beta = 1.0}\n'
    )
    status, told = program(2, "run", "wrong.toml", "--out", "wrong.h5")
    assert status == 2 and told.count("step.beta = 1:") == 1 and "from 0 to below 1" in told
    assert not (program.folder / "wrong.h5").exists()
