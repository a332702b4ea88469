"""bench/fuzz.py: a slice of its cases has no finding, and what would be one is found and kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(FOLDER))
    import fuzz

    return fuzz


def test_a_seeded_slice_has_no_finding(tmp_path):
    command = [sys.executable, FOLDER / "fuzz.py", "--cases", "3000", "--out", tmp_path / "found"]
    ended = subprocess.run(
        [*command, "--seed", "20"], cwd=tmp_path, capture_output=True, text=True, timeout=110
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.split(" | ") for line in ended.stdout.splitlines()[2:]]
    assert len(rows) == 5 and all(row[4] == "0" for row in rows)
    assert sum(int(row[1]) for row in rows) == 3000
    assert all(int(refused) and int(accepted) for _, _, refused, accepted, *_ in rows[:-1])
    assert not (tmp_path / "found").exists()


def raises(data, folder):
    raise ZeroDivisionError("a bug")


def hangs(data, folder):
    time.sleep(100)


def computes_for_ever(data, folder):
    while True:
        pass


def crashes(data, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def takes_memory(data, folder):
    bytearray(1 << 35)


def says_two_lines(data, folder):
    from mpi_lowrank.errors import UserError

    class Unprintable(UserError):
        def __str__(self):
            return "one\ntwo"

    raise Unprintable


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (raises, "ZeroDivisionError: a bug"),
        (hangs, "took longer than 0.2 s"),
        (computes_for_ever, "took longer than 0.2 s"),
        (crashes, "ended the process with -9"),
        (takes_memory, "MemoryError"),
        (says_two_lines, "the error is no line: 'one\\ntwo'"),
    ],
)
def test_what_is_no_declared_error_is_found_kept_and_the_next_case_tried(fuzz, tmp_path, use, told):
    import hostile

    def make(random):
        return str(random.random()).encode()

    fourth = make(fuzz.draws(0, "planted", 3))
    only_it = hostile.Target(
        "planted", 1.0, make, lambda data, folder: use(data, folder) if data == fourth else None
    )
    tried = fuzz.fuzz(only_it, 6, fuzz.Findings(tmp_path, 0), limit=0.2)
    assert tried.row() == ("planted", 6, 0, 5, 1)
    assert told in (tmp_path / "planted-3.txt").read_text()
    assert (tmp_path / "planted-3").read_bytes().endswith(b"\n" + fourth)


@pytest.mark.parametrize(("text", "told"), [("1 1:2\n-1 2:0.5\n", "accepted"), ("1 x", "refused")])
def test_a_kept_input_is_tried_again(tmp_path, text, told):
    path = tmp_path / "LIBSVM-3"
    path.write_text('{"target": "LIBSVM"}\n' + text)
    command = [sys.executable, FOLDER / "fuzz.py", "--replay", path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, f"LIBSVM: {told}\n"), ended.stderr


def test_a_case_that_waits_its_turn_is_no_hang(fuzz, tmp_path):
    import hostile

    waits = hostile.Target("waits", 1.0, lambda random: b"", lambda *_: time.sleep(0.3))
    assert fuzz.fuzz(waits, 1, fuzz.Findings(tmp_path, 0), limit=0.2).row()[-2:] == (1, 0)
