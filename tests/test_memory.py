"""Sizes that no machine has are refused in one line before anything is allocated."""

import resource
import subprocess
import sys

import pytest

from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.wire.messages import LARGEST
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import memory
from mpi_lowrank.run.components import make_operator

GIB = 1 << 30

CASE = """
rounds = 1
stepsize = 0.1
[[cases]]
method = "EF21"
compressor = { name = "topk", k = 2 }
"""


def ended(mpirun, folder, text, limit=None):
    (folder / "some.toml").write_text(text)
    program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "some.h5"]

    def confine():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return subprocess.run(
        [mpirun, "-n", "2", *program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=confine if limit else None,
    )


@pytest.mark.parametrize(
    ("top", "words"),
    [
        (
            'workers = 1000000000000\nproblem = { name = "matrix", shape = [8, 8] }\n',
            ["1000000000000 workers on 2 ranks", "W 8x8", "PiB"],
        ),
        ('problem = { name = "matrix", shape = [1000000, 1000000] }\n', ["1000000x1000000", "TiB"]),
        ('problem = { name = "matrix", shape = [4294967296, 4294967296] }\n', ["PiB"]),
        ('problem = { name = "matrix", shape = [3000000, 1] }\n', ["W 3000000x1", "TiB"]),
        (
            'workers = 4000\nproblem = { name = "matrix", shape = [4000, 1], bases = "rotated" }\n',
            ["4000 workers", "GiB"],
        ),
        ('problem = { name = "mlp", hidden = 1000000000000 }\n', ["W1 64x1000000000000", "PiB"]),
        ("workers = 1000000000000\n", ["workers = 1000000000000", "8124"]),
    ],
)
def test_what_would_not_fit_is_one_line_on_one_rank_and_leaves_no_record(
    mpirun, tmp_path, top, words
):
    done = ended(mpirun, tmp_path, top + CASE)
    errors = [line for line in done.stderr.splitlines() if line.startswith("mpi-lowrank")]
    assert done.returncode == 2 and len(errors) == 1 and "Traceback" not in done.stderr
    for word in ["some.toml: EF21 + Top-2", *words]:
        assert word in errors[0]
    assert not (tmp_path / "some.h5").exists()


def test_a_limit_of_the_process_counts(mpirun, tmp_path):
    text = 'dtype = "float32"\nproblem = { name = "matrix", shape = [20000, 2000] }\n' + CASE
    done = ended(mpirun, tmp_path, text, limit=2 * GIB)
    assert done.returncode == 2 and "there is 2 GiB" in done.stderr
    assert "2 workers on 2 ranks and a model of W 20000x2000" in done.stderr


def test_ranks_of_one_machine_share_its_memory():
    def rank(host, gib, allowed=memory.UNLIMITED):
        return {"host": host, "memory": gib * GIB, "allowed": allowed}

    assert memory.share([rank("a", 8), rank("b", 9), rank("b", 9), rank("b", 12)]) == 3 * GIB
    assert memory.share([rank("a", 8), rank("b", 9, GIB)]) == GIB


def test_the_limit_of_a_control_group_or_of_one_above_it_counts(tmp_path):
    for path, text in {
        "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\nSwapFree: 500 kB\n",
        "proc/self/cgroup": "0::/slurm/job\n",
        "sys/fs/cgroup/slurm/job/memory.max": "max\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert memory.there(tmp_path) == 8500 * 1024
    (tmp_path / "sys/fs/cgroup/slurm/memory.max").write_text("4096\n")
    assert memory.there(tmp_path) == 4096
    (tmp_path / "proc/self/cgroup").write_text("3:cpu:/\n2:memory:/job\n0::/\n")
    (tmp_path / "sys/fs/cgroup/memory/job").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory/job/memory.limit_in_bytes").write_text("2048\n")
    assert memory.there(tmp_path) == 2048
    assert 0 < memory.there()


@pytest.mark.parametrize("spec", ["identity", "topk:k=400000000", "sparsify:k=4.0"])
def test_a_message_has_two_gibibytes_at_the_most(spec):
    with pytest.raises(UserError, match=rf"bytes; allowed is from 1 to {LARGEST}"):
        make_operator(read_spec(spec), (600_000_000,), "float32", 4)


def test_a_message_has_a_byte_at_least(monkeypatch):
    from mpi_lowrank.compressors import compressors

    monkeypatch.setattr(compressors["natural"], "promised", lambda _: Promise(0, 0, alpha=1.0))
    with pytest.raises(UserError, match="would have 0 bytes"):
        make_operator(read_spec("natural"), (5,), "float32", 4)
