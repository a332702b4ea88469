"""A case of a configuration, assembled and run in one process without a record."""

from pathlib import Path

import numpy as np

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.run.assembly import assemble, ground


def assembled(text):
    """The objects of the only case that a configuration's text describes."""
    (case,) = config.parse(text, Path("some.toml")).cases
    door = Door(Alone())
    return assemble(case, ground(case, door), door)


def models(made, rounds):
    """x after each of so many rounds more, (rounds, d)."""
    return np.array([_round(made).copy() for _ in range(rounds)])


def _round(made):
    made.method.round(made.exchange.round)
    made.exchange.round += 1
    return made.method.x
