"""`mpi-lowrank run` where the disk is full, read-only or not a folder: one line on one rank."""

import os
import subprocess
import sys

import pytest

CONFIGURATION = """
workers = 2
rounds = 400
[[cases]]
method = "GD"
label = "first"
[[cases]]
method = "GD"
multiple = 2
"""
# For every Python that starts in the folder: seconds of patience become tenths.
HURRY = """
import mpi_lowrank.record.place as place
import mpi_lowrank.record.flushes as flushes
place.PATIENCE, flushes.INTERVAL = 0.1, 0.0
"""


@pytest.fixture
def run(mpirun, tmp_path):
    """Run a shell command in a file system of 60 KB with some.toml; `run` is mpi-lowrank's."""

    def run(shell):
        (tmp_path / "some.toml").write_text(CONFIGURATION)
        (tmp_path / "sitecustomize.py").write_text(HURRY)
        program = f"{mpirun} -n 2 {sys.executable} -m mpi_lowrank run {tmp_path}/some.toml"
        mount = "mount -t tmpfs -o size=60k none /mnt && cd /mnt"
        script = f'{mount} && run() {{ {program} "$@"; }} && {shell}'
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        ended = subprocess.run(
            ["unshare", "--mount", "bash", "-c", script],
            capture_output=True,
            text=True,
            env=environment,
            timeout=100,
        )
        if ended.stderr.startswith(("mount: ", "unshare: ")):
            pytest.skip(f"a file system of one's own is not permitted: {ended.stderr}")
        lines = [line for line in ended.stderr.splitlines() if line]
        mine = [line for line in lines if line.startswith("mpi-lowrank: ")]
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode, ended.stdout, mine

    return run


def test_a_disk_that_fills_is_told_at_once_and_at_the_end(run, tmp_path):
    code, out, lines = run(f"run --out r.h5; code=$?; cp r.h5 {tmp_path}/kept.h5; exit $code")
    warning, error = lines
    assert code != 0 and "record:" not in out
    assert warning.startswith("mpi-lowrank: warning: /mnt/r.h5: cannot be written: No space left")
    assert error.startswith("mpi-lowrank: error: /mnt/r.h5: cannot be written: No space left")
    from mpi_lowrank.record import Record

    assert "first" in Record(tmp_path / "kept.h5").cases


@pytest.mark.parametrize(
    ("shell", "message"),
    [
        ("touch results; run", "results: cannot be made a folder: File exists"),
        ("mount -o remount,ro /mnt; run", "results: cannot be made a folder: Read-only"),
        ("mount -o remount,ro /mnt; run --out r.h5", "r.h5: cannot be written: Read-only"),
        ("run --out /dev/null", "/dev/null: is a device or a pipe; name a file"),
        ("run --out $(printf %253s | tr ' ' x)", "its name is too long; 240 bytes are possible"),
    ],
)
def test_a_place_that_cannot_hold_a_record_is_one_line(run, shell, message):
    code, out, lines = run(shell)
    assert code != 0 and out == ""
    assert len(lines) == 1 and message in lines[0]
