"""What commands print, and where it cannot be printed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mpi_lowrank.machine.output import complain, say
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter

RUN = "run some.toml --out full.h5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small record and a configuration."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "some.toml").write_text("[[cases]]\nmethod = 'GD'\nrounds = 2\n")
    writer = RecordWriter(folder / "r.h5", {"name": "r", "versions": "{}"})
    writer.start_case("a", {})
    for number in range(3):
        writer.append({"round": number, "loss": 1.0, "grad_norm_sq": 1.0, "uplink_bytes": 8.0})
    writer.finish_case({"status": "finished"}, np.zeros(0, LEDGER_DTYPE), np.ones(1, PHASES_DTYPE))
    writer.close()
    return folder


@pytest.mark.parametrize(
    "arguments",
    ["--help", "list", "data list --json", "table r.h5", "show r.h5", "certify identity", RUN],
)
def test_a_full_standard_output_is_one_line(folder, arguments):
    command = [sys.executable, "-m", "mpi_lowrank", *arguments.split()]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=folder, timeout=60
        )
    expected = "mpi-lowrank: error: standard output: cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (2, expected)


def test_a_full_disk_under_the_log_does_not_end_a_run(folder, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import mpi_lowrank.run.progress as p; p.EVERY = 0.0"
    )
    command = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", tmp_path / "r.h5"]
    with open("/dev/full", "w") as full:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        ended = subprocess.run(command, stderr=full, cwd=folder, env=environment, timeout=60)
    assert ended.returncode == 0
    (case,) = Record(tmp_path / "r.h5").cases.values()
    assert case.attributes["status"] == "finished" and len(case) == 3


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    command = f"{sys.executable} -m mpi_lowrank list | head -n 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "compressors\n"


def test_no_text_steers_the_terminal(capsys):
    say("a\x1b[2Jb\nc\rd\udcff\u202e")
    assert capsys.readouterr().out == "a\\x1b[2Jb\nc\\rd\\udcff\\u202e\n"


def test_no_complaint_is_longer_than_a_thousand_characters(capsys):
    complain("warning", "x" * 10**4 + "\n: what is allowed")
    said = capsys.readouterr().err
    assert len(said) <= 1000 and said.endswith("x\\n: what is allowed\n")
