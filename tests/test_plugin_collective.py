"""Collectives of a user's own, in one file: messages round a ring, coefficients over a hub."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from plugins import install

from mpi_lowrank.record import Record

MINE = '''
import numpy as np

from mpi_lowrank.collectives.base import Topology
from mpi_lowrank.collectives.reductions import Ordered
from mpi_lowrank.door.calls import BROADCAST, GATHER, SEND, Cost


class Ring(Topology):
    """A topology: each rank passes on to the next what it got last, until all have all."""

    def move(self, mine, whole, counts, purpose):
        door, blocks = self.door, np.split(whole, np.cumsum(counts)[:-1])
        before, behind = (door.rank - 1) % door.size, (door.rank + 1) % door.size
        blocks[door.rank][...] = mine.reshape(-1)
        for step in range(door.size - 1):
            if door.rank % 2:  # a send may wait until it is received
                door.receive(blocks[before - step], before, purpose)
            door.send(blocks[door.rank - step], behind, purpose)
            if door.rank % 2 == 0:
                door.receive(blocks[before - step], before, purpose)

    def handed(self, counts):
        return 2 * (self.door.size - 1) * sum(counts)  # each block is sent and received

    @classmethod
    def downlink(cls, sent, told, workers):
        return sent * (workers - 1) / workers

    @classmethod
    def cost(cls, message, told, workers, ranks):
        return sum([SEND.cost(message * workers / ranks, ranks)] * (ranks - 1), Cost())


class Hub(Ordered):
    """A reduction: rank 0 gathers all, adds them in worker order, and broadcasts the sum."""

    def add_up(self, rows, total, buffers, purpose):
        local, everybody = buffers
        local[...], total[...] = rows, 0
        counts = [count * rows.shape[1] for count in self.placement.counts]
        self.door.gather(local, everybody.reshape(-1), counts, purpose)
        for row in everybody if self.door.rank == 0 else ():
            total += row
        self.door.broadcast(total, "downlink" if purpose == "uplink" else purpose)

    @classmethod
    def downlink(cls, nbytes, workers):
        return nbytes

    @classmethod
    def cost(cls, nbytes, workers, ranks):
        return GATHER.cost(nbytes * workers / ranks, ranks) + BROADCAST.cost(nbytes, ranks)
'''

CONFIG = """
workers = 4
rounds = 6
evaluate_every = 3
stepsize = "0.1/L"
dtype = "float32"
[[cases]]
method = "EF21"
compressor = ["topk:k=4", "sparsify:k=4.0"]
topology = ["allgather", "ring"]
[[cases]]
method = "EF21-PP"
compressor = "topk:k=4"
topology = ["allgather", "ring"]
[[cases]]
method = "EF21"
compressor = ["powersgd:rank=1", "shared_qsgd:levels=4"]
reduction = ["ordered", "hub"]
"""


@pytest.fixture
def program(tmp_path, mpirun):
    """Runs the program on so many ranks, where they are installed; what it prints."""
    install(tmp_path, "mine", MINE, collectives="ring = mine:Ring\nhub = mine:Hub")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def program(ranks, *arguments):
        command = [mpirun, "-n", ranks, sys.executable, "-m", "mpi_lowrank", *arguments]
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return program


def test_their_runs_are_those_of_the_built_in_ones_to_the_bit(program, tmp_path):
    (tmp_path / "mine.toml").write_text(CONFIG)
    program(3, "run", tmp_path / "mine.toml", "--out", tmp_path / "mine.h5")
    cases = Record(tmp_path / "mine.h5").cases
    names = {
        mine: mine.replace("=ring", "=allgather").replace("=hub", "=ordered") for mine in cases
    }
    pairs = [(cases[mine], cases[other]) for mine, other in names.items() if mine != other]
    assert len(pairs) == 5 and len(cases) == 10
    for mine, other in pairs:
        assert mine.attributes["valid"], mine.attributes["reasons"]
        np.testing.assert_array_equal(mine["loss"], other["loss"])
        np.testing.assert_array_equal(mine["uplink_bytes"], other["uplink_bytes"])
        uplink = set(mine.ledger["op"][mine.ledger["purpose"] == b"uplink"])
        assert uplink == {b"Send", b"Recv"} or b"Gatherv" in uplink


def test_they_are_certified_on_ranks_and_listed(program):
    findings = json.loads(program(2, "certify", "--ranks", "--json", "topk:k=3", "dense"))
    where = {finding["where"].removeprefix("2 ranks, ") for finding in findings}
    assert where == {"allgather", "hub", "mpi", "ordered", "ring", "server"}
    assert all(finding["passed"] for finding in findings)
    listed = json.loads(program(1, "list", "collectives", "--json"))["collectives"]
    assert {entry["name"] for entry in listed} == where
