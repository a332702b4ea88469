"""A collective of a user's own, in one file: messages go round in a ring of pairs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from plugins import install

from mpi_lowrank.record import Record

RING = '''
import numpy as np

from mpi_lowrank.collectives.base import Topology
from mpi_lowrank.door.calls import SEND, Cost


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
'''

CONFIG = """
workers = 4
rounds = 6
evaluate_every = 3
stepsize = "0.1/L"
topology = ["allgather", "ring"]
[[cases]]
method = "EF21"
compressor = ["topk:k=4", "sparsify:k=4.0"]
[[cases]]
method = "EF21-PP"
compressor = "topk:k=4"
"""


@pytest.fixture
def program(tmp_path, mpirun):
    """Runs the program on so many ranks, where the ring is installed; what it prints."""
    install(tmp_path, "ring", RING, collectives="ring = ring:Ring")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def program(ranks, *arguments):
        command = [mpirun, "-n", ranks, sys.executable, "-m", "mpi_lowrank", *arguments]
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return program


def test_its_runs_are_those_of_an_allgather_to_the_bit(program, tmp_path):
    (tmp_path / "ring.toml").write_text(CONFIG)
    out = tmp_path / "ring.h5"
    program(3, "run", tmp_path / "ring.toml", "--out", out)
    cases = Record(out).cases
    rings = [label for label in cases if label.endswith("topology=ring")]
    assert len(rings) == 3 and len(cases) == 6
    for label in rings:
        ring, other = cases[label], cases[label.replace("=ring", "=allgather")]
        assert ring.attributes["valid"], ring.attributes["reasons"]
        for column in ("loss", "uplink_bytes", "downlink_bytes"):
            np.testing.assert_array_equal(ring[column], other[column])
        uplink = ring.ledger[ring.ledger["purpose"] == b"uplink"]
        assert set(uplink["op"]) == {b"Send", b"Recv"}


def test_it_is_certified_on_ranks_and_listed(program):
    findings = json.loads(program(2, "certify", "--ranks", "--json", "topk:k=3"))
    where = {finding["where"] for finding in findings}
    assert where == {"2 ranks, allgather", "2 ranks, ring", "2 ranks, server"}
    assert all(finding["passed"] for finding in findings)
    listed = json.loads(program(1, "list", "collectives", "--json"))["collectives"]
    assert [entry["name"] for entry in listed] == ["allgather", "mpi", "ordered", "ring", "server"]
