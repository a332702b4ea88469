"""Ranks that were not started alike: rank 0's command line counts, other code is refused."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plugins import install

import mpi_lowrank
from mpi_lowrank.record import Record

CONFIG = """
workers = 4
rounds = 6
problem = { name = "logistic", lambda = 0.1 }
[[cases]]
method = "GD"
"""

PACKAGE = Path(mpi_lowrank.__file__).parent
PROGRAM = [sys.executable, "-m", "mpi_lowrank"]


@pytest.fixture
def mixed(tmp_path, mpirun):
    """Start one process a command line under one mpirun, in a folder with a.toml and b.toml."""
    (tmp_path / "a.toml").write_text(CONFIG)
    (tmp_path / "b.toml").write_text(CONFIG.replace("0.1", "5.0"))

    def mixed(*commands):
        joined = [word for command in commands for word in [":", "-n", "1", *command]]
        return subprocess.run(
            [mpirun, *joined[1:]],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return mixed


def run(*options):
    return [*PROGRAM, "run", *options]


def losses(path):
    (case,) = Record(path).cases.values()
    assert case.attributes["valid"]
    return case["loss"]


def test_rank_0_s_configuration_and_options_are_everybody_s(mixed, tmp_path):
    assert mixed(*[run("a.toml", "--out", "alike.h5")] * 2).returncode == 0
    for other in run("b.toml", "--out", "other.h5", "--set", "rounds=2"), run("none.toml"):
        ended = mixed(run("a.toml", "--out", "mixed.h5", "--overwrite"), other)
        assert (ended.returncode, ended.stdout) == (0, "record: mixed.h5\n"), ended.stderr
        np.testing.assert_array_equal(losses(tmp_path / "mixed.h5"), losses(tmp_path / "alike.h5"))
    assert not (tmp_path / "other.h5").exists()


def test_a_mistake_of_rank_0_s_ends_both_with_one_line(mixed):
    ended = mixed(run("none.toml", "--out", "no.h5"), run("a.toml", "--out", "no.h5"))
    lines = [line for line in ended.stderr.splitlines() if line.startswith("mpi-lowrank")]
    assert ended.returncode != 0
    assert len(lines) == 1 and "none.toml: cannot be read" in lines[0]


def test_a_configuration_comes_in_by_standard_input(mixed, tmp_path):
    assert mixed(*[run("a.toml", "--out", "file.h5")] * 2).returncode == 0
    here = run("/dev/stdin", "--out", "stdin.h5")
    # Open MPI's launcher never passes on where its own standard input ends.
    fed = ["sh", "-c", shlex.join(here) + " < a.toml"]
    ended = mixed(fed, here)
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_array_equal(losses(tmp_path / "stdin.h5"), losses(tmp_path / "file.h5"))


def test_rank_0_s_specifications_are_certified(mixed):
    certify = [*PROGRAM, "certify", "--ranks"]
    ended = mixed([*certify, "topk:k=3"], [*certify, "svd:rank=1"])
    assert ended.returncode == 0 and "topk:k=3" in ended.stdout, ended.stderr


def another_package(folder):
    shutil.copytree(PACKAGE, folder / "mpi_lowrank", ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "mpi_lowrank" / "problems" / "logistic.py", "a") as source:
        source.write("# changed\n")


def another_numpy(folder):
    (folder / "sitecustomize.py").write_text("import numpy\nnumpy.__version__ = '1.2.3'\n")


def another_plugin(folder):
    install(folder, "mine", "class Mine: ...", datasets="mine = mine:Mine")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            another_package,
            ["mpi-lowrank is", "/other/mpi_lowrank on rank 1", f"{PACKAGE} on rank 0"],
        ),
        (another_numpy, ["numpy is 1.2.3 on rank 1", f"{np.__version__} on rank 0"]),
        (another_plugin, ["plug-in mine of datasets", "mine:Mine of mine 1", "none on rank 0"]),
    ],
)
def test_other_code_on_a_rank_is_refused_by_name(mixed, tmp_path, change, words):
    change_in = tmp_path / "other"
    change_in.mkdir()
    change(change_in)
    ended = mixed(run("a.toml"), ["env", f"PYTHONPATH={change_in}", *run("a.toml")])
    lines = [line for line in ended.stderr.splitlines() if line.startswith("mpi-lowrank: error: ")]
    assert ended.returncode != 0 and len(lines) == 1, ended.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "results").exists()


def test_another_command_on_a_rank_is_refused(mixed):
    ended = mixed(run("a.toml"), [*PROGRAM, "certify", "--ranks", "topk:k=3"])
    assert ended.returncode != 0
    assert "command is certify --ranks on rank 1, run on rank 0" in ended.stderr
