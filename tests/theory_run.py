"""A case with `theory`, run in this process, and all that its rows have."""

from pathlib import Path

import numpy as np

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.guarantees import Guarantees
from mpi_lowrank.run.loop import Observer, run_rounds
from mpi_lowrank.run.stopping import Schedule

HEAD = """
workers = 3
rounds = 12
theory = true
"""


class Rows(Observer):
    """The rows, and the method's arrays at each."""

    def __init__(self, state):
        self.rows, self.states, self._state = [], [], state

    def row_measured(self, row):
        self.rows.append(row)
        self.states.append({entry.name: entry.array.copy() for entry in self._state})

    def __getitem__(self, name):
        return np.array([row.columns()[name] for row in self.rows])


class Run:
    """A case in this process, without MPI: its columns, and why it is not valid."""

    def __init__(self, text, head=HEAD, watch=None):
        (case,) = config.parse(f"{head}[[cases]]\n{text}", Path("some.toml")).cases
        door = Door(Alone())
        self.made = assemble(case, ground(case, door), door)
        self.columns = Rows(self.made.state)
        guarantees = Guarantees(self.made.theory, self.made.notes)
        observers = [Schedule(case), guarantees, self.columns]
        if watch:
            watch(self.made)
        with np.errstate(all="ignore"):
            self.reasons = run_rounds(self.made, observers).reasons
        self.told = self.made.theory.attributes()["guarantee"]
