"""The ledger against an independent count: a shim between the program and the MPI library."""

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.record import Record

CONFIG = """
rounds = 25
evaluate_every = 4
topology = ["allgather", "server"]
data = {name = "mushrooms", test_fraction = 0.1}

[[cases]]
method = "EF21"
compressor = [{name = "topk", k = 4}, {name = "rsvd", rank = 2}]

[[cases]]
method = "GD"

[[cases]]
method = { name = "EF21-BC", downlink = { name = "topk", k = 9 } }
compressor = { name = "topk", k = 4 }
topology = "server"

[[cases]]
method = ["EF21", "EF14"]
compressor = [
    { name = "dense", wire = "bfloat16" },
    { name = "powersgd", rank = 2 },
    { name = "sketch" },
]
stepsize = "0.5/L"
topology = "allgather"
reduction = ["mpi", "ordered"]
"""


# Two rounds at either end are kept call by call, so that most calls are summed.
PROGRAM = """
import sys
from mpi_lowrank.cli.entry import main
from mpi_lowrank.door.ledger import Ledger
Ledger.ROUNDS = 2
sys.exit(main())
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory, mpirun):
    mpicc = shutil.which("mpicc", path=Path(mpirun).parent)
    if not mpicc or not shutil.which("gcc"):
        pytest.skip("no mpicc beside mpirun, or no gcc: the shim cannot be built")
    if subprocess.run([mpicc, "-E", "-xc", "-include", "mpi.h", os.devnull]).returncode:
        pytest.skip("mpicc finds no mpi.h (Debian: libopenmpi-dev): the shim cannot be built")
    library = tmp_path_factory.mktemp("shim") / "count_calls.so"
    source = Path(__file__).with_name("count_calls.c")
    build = [mpicc, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run(build, check=True)
    return library


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_ledger_equals_an_independent_count(shim, mpirun, tmp_path, ranks):
    (tmp_path / "audit.toml").write_text(CONFIG)
    counts = tmp_path / "counts"
    program = [sys.executable, "-c", PROGRAM, "run", "audit.toml", "--out", "audit.h5"]
    preload = ["env", f"LD_PRELOAD={shim}", f"COUNT_CALLS={counts}"]
    command = [mpirun, "-n", str(ranks), *preload, *program]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100, env=os.environ)
    cases = Record(tmp_path / "audit.h5").cases.values()
    for rank in range(ranks):
        expected = {}
        for line in Path(f"{counts}.{rank}").read_text().splitlines():
            op, calls, nbytes = line.split()
            expected[op] = int(calls), int(nbytes)
        counted = defaultdict(lambda: (0, 0))
        for case in cases:
            rows = case.ledger[case.ledger["rank"] == rank]
            for op in np.unique(rows["op"]):
                same = rows[rows["op"] == op]
                calls, nbytes = counted[op.decode()]
                counted[op.decode()] = calls + same["calls"].sum(), nbytes + same["bytes"].sum()
        assert sum(calls for calls, _ in expected.values()) > 100
        assert {op: counted[op] for op in expected} == expected
