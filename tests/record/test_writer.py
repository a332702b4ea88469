import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from io import SEEK_END, BytesIO

import h5py
import numpy as np
import pytest

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.record.seal import is_broken, seal

# A process that adds rows for ever: column loss is the round, uplink_bytes its double.
ENDLESS = """
    import sys
    from pathlib import Path
    from mpi_lowrank.record import RecordWriter
    import mpi_lowrank.record.flushes as flushes

    flushes.INTERVAL = float(sys.argv[2])
    record = RecordWriter(Path(sys.argv[1]), {"name": "endless"})
    record.start_case("endless", {})
    number = 0
    while True:
        record.append({"round": number, "loss": number, "uplink_bytes": 2 * number})
        number += 1
        record.publish() if sys.argv[2] == "0" else record.flush()
"""


def write_rows(writer, count, start=0):
    for number in range(start, start + count):
        writer.append({"round": number, "loss": 1.0 / (number + 1)})


def finish(writer):
    writer.finish_case({"status": "finished"}, np.zeros(0, LEDGER_DTYPE), np.zeros(1, PHASES_DTYPE))


@contextmanager
def endless_writer(path, interval):
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(ENDLESS), path, str(interval)])
    try:
        wait_until(lambda: path.exists() and "endless" in Record(path).cases)
        yield child
    finally:
        child.kill()
        child.wait()


def wait_until(fact, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"


def assert_whole(case):
    assert {len(column) for column in case.columns().values()} == {len(case)}
    np.testing.assert_array_equal(case["round"], np.arange(len(case)))
    np.testing.assert_array_equal(case["loss"], case["round"])
    np.testing.assert_array_equal(case["uplink_bytes"], 2 * case["round"])


@contextmanager
def files_no_larger_than(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_another_process_reads_growing_whole_rows_while_the_writer_flushes(tmp_path):
    path = tmp_path / "r.h5"
    lengths = []
    with endless_writer(path, interval=0):
        for _ in range(100):
            case = Record(path).cases["endless"]
            assert_whole(case)
            lengths.append(len(case))
        wait_until(lambda: len(Record(path).cases["endless"]) > lengths[0])
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("attempt", range(4))
def test_a_writer_killed_during_a_flush_leaves_whole_rows(tmp_path, attempt):
    path = tmp_path / "r.h5"
    with endless_writer(path, interval=0) as child:
        wait_until(lambda: len(Record(path).cases["endless"]) > 100 * attempt)
        size = path.stat().st_size
        wait_until(lambda: path.stat().st_size != size)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    record = Record(path)
    assert_whole(record.cases["endless"])
    assert record.attributes["status"] == "running"


def test_a_record_that_grows_while_it_is_checked_is_not_broken():
    class Growing(BytesIO):
        def seek(self, place, whence=0):
            found = super().seek(place, whence)
            if whence == SEEK_END:
                self.write(b"a piece that another process appends")
            return found

    image = bytes(range(200))
    assert not is_broken(Growing(image + seal(image)))
    assert is_broken(Growing(image[::-1] + seal(image)))


def test_a_writer_killed_between_flushes_leaves_what_it_had_flushed(tmp_path):
    path = tmp_path / "r.h5"
    with endless_writer(path, interval=0.2) as child:
        wait_until(lambda: len(Record(path).cases["endless"]) > 0)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    case = Record(path).cases["endless"]
    assert len(case) > 0
    assert_whole(case)


def test_a_reader_that_holds_the_file_open_keeps_its_view_and_loses_no_rows(tmp_path):
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    writer.start_case("a", {})
    write_rows(writer, 3)
    writer.flush(now=True)
    with h5py.File(path, "r", locking=True) as held:
        write_rows(writer, 2000, start=3)
        writer.flush(now=True)
        assert len(held["cases/a/rounds/loss"][:]) == 3
    assert len(Record(path).cases["a"]) == 2003
    writer.close()


def test_a_case_is_there_when_it_begins_and_when_it_ends(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    for number in range(5):
        writer.start_case(str(number), {})
        statuses = [c.attributes["status"] for c in Record(tmp_path / "r.h5").cases.values()]
        assert statuses == ["finished"] * number + ["running"]
        finish(writer)


def test_a_case_can_end_before_it_has_begun(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    writer.start_case("a", {"method": "GD"})
    write_rows(writer, 2)
    for label in ("a", "b"):
        writer.end_case(label, {"method": "EF21"}, {"status": "failed"})
    first, second = Record(tmp_path / "r.h5").cases.values()
    assert all(len(case.attributes.pop("run_id")) == 16 for case in (first, second))
    assert first.attributes == {"label": "a", "method": "GD", "status": "failed"}
    assert second.attributes == {"label": "b", "method": "EF21", "status": "failed"}
    assert (len(first), len(second)) == (2, 0)


def test_rows_that_cannot_be_written_are_kept_and_written_later(tmp_path, monkeypatch):
    monkeypatch.setattr("mpi_lowrank.record.flushes.INTERVAL", 0.0)
    monkeypatch.setattr("mpi_lowrank.record.flushes.SHARE", 1e9)
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    writer.start_case("a", {})
    write_rows(writer, 5)
    writer.flush(now=True)
    with files_no_larger_than(path.stat().st_size):
        write_rows(writer, 5000, start=5)
        writer.flush()
    assert len(Record(path).cases["a"]) == 5
    writer.flush()
    np.testing.assert_array_equal(Record(path).cases["a"]["round"], np.arange(5005))
    writer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["r.h5"]


def test_a_disk_that_stays_full_is_one_error_and_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr("mpi_lowrank.record.place.PATIENCE", 0.3)
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    writer.start_case("a", {})
    with files_no_larger_than(path.stat().st_size):
        write_rows(writer, 5000)
        with pytest.raises(UserError, match=r"r\.h5: cannot be written: File too large"):
            writer.close()
    assert [len(case) for case in Record(path).cases.values()] == [0]


def test_flushes_come_at_most_every_interval(tmp_path):
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    writer.start_case("a", {})
    before = path.read_bytes()
    write_rows(writer, 10)
    writer.flush()
    assert path.read_bytes() == before
    writer.close()
    assert len(Record(path).cases["a"]) == 10


def test_an_existing_record_is_refused_and_left_as_it_was(tmp_path):
    path = tmp_path / "r.h5"
    path.write_text("dear to somebody")
    with pytest.raises(UserError, match=r"exists.*--overwrite"):
        RecordWriter(path, {})
    assert path.read_text() == "dear to somebody"


@pytest.mark.parametrize("finished", [False, True])
def test_overwriting_leaves_the_earlier_record_until_it_has_finished(tmp_path, finished):
    path = tmp_path / "r.h5"
    path.write_text("earlier")
    writer = RecordWriter(path, {"name": "later"}, overwrite=True)
    writer.start_case("a", {})
    write_rows(writer, 5)
    finish(writer)
    writer.flush(now=True)
    assert path.read_text() == "earlier"
    assert len(Record(writer.live).cases["a"]) == 5
    writer.close(finished=finished)
    assert writer.live == (path if finished else tmp_path / "r.h5.partial")
    assert Record(writer.live).attributes["status"] == ("finished" if finished else "interrupted")
    assert finished or path.read_text() == "earlier"


def test_overwriting_through_a_link_replaces_the_file_and_keeps_the_link(tmp_path):
    target, link = tmp_path / "target.h5", tmp_path / "link.h5"
    target.write_text("earlier")
    link.symlink_to(target)
    RecordWriter(link, {}, overwrite=True).close()
    assert link.is_symlink()
    assert Record(target).attributes["status"] == "finished"


@pytest.mark.parametrize(
    ("name", "message"), [("none/r.h5", "no folder"), ("", "is a folder; name a file")]
)
def test_a_place_that_cannot_hold_a_record_is_an_error(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        RecordWriter(tmp_path / name, {})


def test_two_cases_of_one_label_are_an_error(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    writer.start_case("a", {})
    with pytest.raises(UserError, match="two cases are labelled 'a'"):
        writer.start_case("a", {})
    writer.close()


@pytest.mark.parametrize(
    ("label", "attributes", "error"),
    [
        ("a∕b", {}, UserError),
        ("c", {"L": object()}, TypeError),
        ("c", {"L_i": np.array([object()])}, TypeError),
    ],
)
def test_a_case_that_cannot_begin_leaves_those_before_as_they_were(
    tmp_path, label, attributes, error
):
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    for earlier in ("a", "a/b"):
        writer.start_case(earlier, {})
        write_rows(writer, 3)
        finish(writer)
    for begin in (writer.start_case, lambda *given: writer.end_case(*given, {"status": "failed"})):
        with pytest.raises(error):
            begin(label, attributes)
    writer.start_case("d", {})
    writer.close(finished=False)
    cases = Record(path).cases
    assert [case.attributes["status"] for case in cases.values()] == ["finished"] * 2 + ["running"]
    assert [len(case) for case in cases.values()] == [3, 3, 0]
    assert list(cases) == ["a", "a/b", "d"]


def test_a_case_can_end_anew_after_it_has_ended_here(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    writer.start_case("a", {})
    write_rows(writer, 3)
    finish(writer)
    writer.end_case("a", {}, {"status": "failed"})
    writer.close()
    (case,) = Record(tmp_path / "r.h5").cases.values()
    assert (case.attributes["status"], len(case)) == ("failed", 3)


def test_more_text_than_an_attribute_used_to_hold(tmp_path):
    hosts, config = [f"node{number}" for number in range(9000)], "x" * 200_000
    RecordWriter(tmp_path / "r.h5", {"hosts": hosts, "config": config}).close()
    attributes = Record(tmp_path / "r.h5").attributes
    assert (attributes["hosts"], attributes["config"]) == (hosts, config)


def test_text_that_hdf5_cannot_hold_is_escaped(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {"command": "caf\udce9.h5", "hosts": ["a\0b"]})
    writer.close()
    attributes = Record(tmp_path / "r.h5").attributes
    assert (attributes["command"], attributes["hosts"]) == ("caf\\udce9.h5", ["a\\x00b"])


def test_a_column_that_the_schema_lacks_is_an_error(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    writer.start_case("a", {})
    with pytest.raises(ValueError, match="no column speed"):
        writer.append({"round": 0, "speed": 1.0})
    writer.close()


def test_rows_stay_with_the_case_they_were_appended_to(tmp_path):
    path = tmp_path / "r.h5"
    writer = RecordWriter(path, {})
    for count, label in enumerate("abc"):
        writer.start_case(label, {})
        write_rows(writer, count)
        finish(writer)
    writer.close()
    assert [len(case) for case in Record(path).cases.values()] == [0, 1, 2]
