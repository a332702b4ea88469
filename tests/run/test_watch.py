"""In the first rounds the g_i move by what the method says they do, whatever multiple it is."""

from pathlib import Path

import pytest

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Method
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.watch import FirstRounds

CASE = """
workers = 3
rounds = 5
stepsize = 0.1
problem = { name = "matrix", shape = [6, 4] }
[[cases]]
method = "shifted"
compressor = "randk:k=3,scale=unbiased"
"""

SHARE = 0.125


class Silent(Method):
    """DIANA: c_i = C(grad f_i(x) - h_i), x -= gamma (h + mean c_i), h_i += share c_i.

    Mishchenko et al. 2019. It does not say that its h_i move by less than what is sent.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self.shifts = setting.state.rows("h_i", self.x.size)
        self.shift = setting.state.array("h", self.x.size)

    def round(self, t):
        own, mean = self.exchange(self.gradients(self.x) - self.shifts, self.compressor)
        self.move(self.shift + mean)
        self.shifts += SHARE * own
        self.shift += SHARE * mean

    def estimate_error(self):
        return self.shifts, self.shift


class Shifted(Silent):
    def estimate_change(self):
        return SHARE * super().estimate_change()


class Wrong(Shifted):
    """Its h_i drift besides."""

    def round(self, t):
        super().round(t)
        self.shifts += 1e-6


def reasons(monkeypatch, kind):
    methods.names()
    monkeypatch.setitem(methods._found, "shifted", kind)
    (case,) = config.parse(CASE, Path("some.toml")).cases
    door = Door(Alone())
    made = assemble(case, ground(case, door), door)
    first = FirstRounds(made.method, made.exchange)
    for t in range(first.COUNT):
        made.exchange.round = t
        first.round_begun(t)
        made.method.round(t)
        first.round_done(t + 1)
    return first.check()


def test_what_a_method_says_its_g_i_move_by_is_held_against_them(monkeypatch):
    assert reasons(monkeypatch, Shifted) == []


@pytest.mark.parametrize("kind", [Silent, Wrong])
def test_g_i_that_move_by_anything_else_are_noticed(monkeypatch, kind):
    (reason,) = reasons(monkeypatch, kind)
    assert reason.startswith("g_i does not move by what")
