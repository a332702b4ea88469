"""Names that a record can have and one run alone has; disks that are full or read-only."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import Record, RecordWriter

# A process that tries to write the record sys.argv[1] as soon as it is told to, and says how it
# went; the folder of every attempt comes as a line, an empty line before the record is closed.
CLAIMANT = """
import sys
from pathlib import Path
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import RecordWriter
overwrite = sys.argv[1] == "overwrite"
print("ready", flush=True)
for line in sys.stdin:
    try:
        writer = RecordWriter(Path(line.strip()), {"name": "new"}, overwrite)
    except UserError as error:
        writer = None
        print(error, flush=True)
    else:
        print("accepted", flush=True)
    sys.stdin.readline()
    if writer:
        writer.close()
    print("closed", flush=True)
"""


def make(path, **options):
    RecordWriter(path, {"name": "earlier"}, **options).close()


@pytest.mark.parametrize(
    ("how", "earlier"), [("new", False), ("overwrite", False), ("overwrite", True)]
)
def test_of_two_runs_that_start_at_once_one_has_the_name(tmp_path, how, earlier):
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMANT, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(2)
    ]
    try:
        assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
        for number in range(20):
            path = tmp_path / f"{number}.h5"
            if earlier:
                make(path)
            told = [say(both, f"{path}\n"), say(both, "\n")][0]
            assert told.count("accepted\n") == 1, told
            (refusal,) = set(told) - {"accepted\n"}
            assert refusal.startswith(str(path)) and refusal.count("\n") == 1
            assert Record(path).attributes["name"] == "new"
            assert Record(path).attributes["status"] == "finished"
    finally:
        for one in both:
            one.kill()
            one.communicate()
    assert len(list(tmp_path.iterdir())) == 20


def say(processes, line):
    for one in processes:
        one.stdin.write(line)
    return [one.stdout.readline() for one in processes]


@pytest.mark.parametrize("earlier", [False, True])
def test_what_a_killed_run_left_is_never_replaced(tmp_path, earlier):
    path = tmp_path / "r.h5"
    if earlier:
        make(path)
    killed = RecordWriter(path, {"name": "killed"}, overwrite=earlier)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    message = "holds a run that goes on or was stopped; move the file away or delete it first"
    with pytest.raises(UserError, match=f"{killed.live}: {message}"):
        RecordWriter(path, {}, overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    killed.live.rename(tmp_path / "kept.h5")
    make(path, overwrite=True)
    assert Record(tmp_path / "kept.h5").attributes["name"] == "killed"


def test_a_run_that_took_the_name_meanwhile_is_not_replaced_either(tmp_path):
    path = tmp_path / "r.h5"
    make(path)
    later = RecordWriter(path, {"name": "later"}, overwrite=True)
    path.unlink()
    RecordWriter(path, {"name": "meanwhile"})
    with pytest.raises(UserError, match=r"r\.h5: holds a run .*record is .*r\.h5\.partial"):
        later.close()
    assert Record(path).attributes["name"] == "meanwhile"
    assert Record(later.live).attributes == {
        "schema": "mpi-lowrank/1",
        "status": "finished",
        "name": "later",
    }


def test_a_file_system_without_hard_links_gives_a_name_to_one_run(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    writer = RecordWriter(tmp_path / "r.h5", {})
    with pytest.raises(UserError, match="holds a run"):
        RecordWriter(tmp_path / "r.h5", {}, overwrite=True)
    writer.close()
    assert Record(tmp_path / "r.h5").attributes["status"] == "finished"
    assert len(list(tmp_path.iterdir())) == 1


def test_links_that_somebody_else_laid_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("dear to somebody")
    for name in ("r.h5.flush", "r.h5.partial"):
        (tmp_path / name).symlink_to(victim)
    make(tmp_path / "r.h5")
    with pytest.raises(UserError, match=r"r\.h5\.partial: holds"):
        make(tmp_path / "r.h5", overwrite=True)
    assert victim.read_text() == "dear to somebody"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_device_is_no_place_for_a_record(tmp_path, overwrite):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in ("fifo", "link", "socket", "/dev/null", "/dev/full"):
            with pytest.raises(UserError, match="is a device or a pipe; name a file"):
                RecordWriter(tmp_path / path, {}, overwrite)
    assert Path("/dev/null").is_char_device() and Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 250 + ".h5", "its name is too long; 240 bytes are possible"),
        ("é" * 121 + ".h5", "its name is too long; 240 bytes are possible"),
        ("a" * 400 + ".h5", "its name is too long"),
        ("a\0b.h5", "has a NUL in its name"),
        ("file/r.h5", "there is no folder"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(tmp_path, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        RecordWriter(tmp_path / name, {})
    make(tmp_path / ("é" * 118 + ".h5x"))


@pytest.mark.parametrize("name", ["a" * 253, "a\0b", "file/r.h5"])
def test_a_name_that_cannot_be_read_is_one_line(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"there is no such record|cannot be read: "):
        Record(tmp_path / (name + ".h5"))


# What the scripts below share; they run in a file system of their own and print what they find.
HEAD = """
import itertools, os, subprocess, sys
from pathlib import Path
import numpy as np
import mpi_lowrank.record.place as place
import mpi_lowrank.record.flushes as module
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter

module.INTERVAL, module.SHARE, place.PATIENCE = 0.0, 1e9, 0.1
path = Path("r.h5")

rounds = itertools.count()

def add(rows):
    for number in itertools.islice(rounds, rows):
        writer.append({"round": number, "loss": noise.random()})

noise = np.random.default_rng(0)

def finish(ledger):
    random = np.random.default_rng(1).bytes(ledger * LEDGER_DTYPE.itemsize)
    ledger = np.frombuffer(random, LEDGER_DTYPE)
    writer.finish_case({"status": "finished"}, ledger, np.zeros(1, PHASES_DTYPE))

def close():
    try:
        writer.close()
    except UserError as error:
        print(error)

def show():
    record = Record(path)
    cases = [(len(case), len(case.ledger)) for case in record.cases.values()]
    print(record.attributes["status"], cases, [file.name for file in Path().iterdir()])

def fill():
    room = os.statvfs(".").f_bavail * os.statvfs(".").f_frsize
    Path("ballast").write_bytes(bytes(room))

writer = RecordWriter(path, {})
writer.start_case("a", {})
"""
COMES_BACK = """
add(10)
writer.flush()
fill()
for _ in range(3):
    add(400)  # packed they are more than is left of the last page of the file
    writer.flush()
Path("ballast").unlink()
writer.flush()
show()
close()
"""
READ_ONLY = """
def remount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", "/mnt"], check=True)

add(10)
writer.flush()
remount("ro")
for _ in range(3):
    add(10)
    writer.flush()
show()
remount("rw")
finish(0)
close()
show()
"""
NO_ROOM_FOR_THE_LEDGER = """
add(10)
finish(8000)
writer.start_case("b", {"reasons": [], "hosts": ["x", "y"], "valid": True, "L_i": np.ones(3)})
add(20)
finish(5)
close()
show()
print(Record(path).cases["b"].attributes, Record(path).cases["b"].arrays)
"""
NO_ROOM = """
add(10)
writer.flush()
fill()
add(3000)
finish(0)
close()
show()
"""
WARNING = (
    "mpi-lowrank: warning: /mnt/r.h5: cannot be written: {}; the run goes on and tries again\n"
)
AGAIN = "mpi-lowrank: warning: /mnt/r.h5: is written again; nothing is lost\n"
NO_SPACE = "No space left on device"


def in_a_small_file_system(*command):
    """Run a command in a folder of its own with room for 400 KB, seen by nobody else."""
    shell = 'mount -t tmpfs -o size=400k none /mnt && cd /mnt && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", shell, "sh", *command]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if ended.stderr.startswith(("mount: ", "unshare: ")):
        pytest.skip(f"a file system of one's own is not permitted: {ended.stderr}")
    return ended.returncode, ended.stdout, ended.stderr


def script(text):
    return in_a_small_file_system(sys.executable, "-c", HEAD + text)


def test_a_disk_that_is_full_for_a_while_is_told_and_loses_nothing():
    expected = WARNING.format(NO_SPACE) + AGAIN
    assert script(COMES_BACK) == (0, "running [(1210, 0)] ['r.h5']\n", expected)


def test_a_file_system_that_is_read_only_for_a_while_does_not_end_the_run():
    code, out, err = script(READ_ONLY)
    assert (code, err) == (0, WARNING.format("Read-only file system") + AGAIN)
    assert out == "running [(10, 0)] ['r.h5']\nfinished [(40, 0)] ['r.h5']\n"


def test_where_there_is_no_room_all_is_kept_but_the_ledgers():
    code, out, err = script(NO_ROOM_FOR_THE_LEDGER)
    error, shown, case = out.splitlines()
    assert error == f"/mnt/r.h5: cannot be written: {NO_SPACE}; the file has all but the ledgers"
    assert shown == "finished [(10, 0), (20, 0)] ['r.h5']"
    assert "'reasons': [], 'hosts': ['x', 'y'], 'valid': True, 'status': 'finished'" in case
    assert "'L_i': array([1., 1., 1.])" in case
    assert (code, err) == (0, WARNING.format(NO_SPACE))


def test_where_there_is_no_room_at_all_what_was_there_stays():
    error = f"/mnt/r.h5: cannot be written: {NO_SPACE}; the file ends with its last flush\n"
    code, out, err = script(NO_ROOM)
    assert (code, out) == (0, error + "running [(10, 0)] ['ballast', 'r.h5']\n")
    assert err == WARNING.format(NO_SPACE)
