"""A LIBSVM file read by several ranks, against the same file read by one."""

from itertools import chain, pairwise

import numpy as np
import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(60)]

LINE = b"-1 2:1 5:0.25 9:-3\n"
GOOD = b"".join(b"%d %d:%d %d:0.5\n" % (i % 2, 1 + i % 7, i, 8 + i % 5) for i in range(60))
TEXTS = {
    "rows of any length": GOOD,
    "no end of the last line": GOOD[:-1],
    "ones alone": b"".join(b"%d 3:1 %d:1\r\n" % (i % 2, 4 + i) for i in range(30)),
    "blank at the end": GOOD + b"\n  \n" + b" " * 400 + b"\n\n",
    "one long line": b"1 " + b" ".join(b"%d:1" % i for i in range(1, 300)) + b"\n0\n",
    "rows of a label alone": b"1\n" * 40 + b"0 7:2\n" + b"1\n" * 40,
}
BROKEN = {
    "a word in the last line": LINE * 20 + b"1 3:x\n",
    "words, the first of them counts": LINE * 9 + b"oops\n" + LINE * 30 + b"1 3:x\n",
    "a form in the last line before a number in the first": b"1 3:1 2:1\n" + LINE * 30 + b"1 y\n",
    "a number in the last line before a label in the first": b"1e999\n" + LINE * 30 + b"1 0:1\n",
    "a label": LINE * 25 + b"1e999 1:1\n" + LINE * 9,
    "a blank line": LINE * 20 + b"\n" + LINE * 9,
    "a blank line in front": b"\n" + LINE * 20,
    "one class": LINE * 20,
    "no pairs": b"1\n-1\n" * 60,
    "nothing": b" \n" * 100,
}


@pytest.fixture
def reading(comm, monkeypatch):
    from mpi_lowrank.comm import reading

    monkeypatch.setattr(reading, "PIECE", 16)
    return reading


def shared(comm, folder, text, name="given"):
    from mpi_lowrank.comm.parcels import from_root

    path = from_root(comm, str(folder / name))
    if comm.rank == 0:
        (folder / name).write_bytes(text)
    comm.Barrier()
    return path


def everybody(comm, told):
    return list(chain(*comm.allgather(told)))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_rows_labels_and_checksum_are_those_that_one_rank_finds(comm, reading, tmp_path, text):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.comm.redistribute import redistribute
    from mpi_lowrank.datasets import Data, assign, load
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement

    path = shared(comm, tmp_path, text)
    whole, piece = load(path), reading.read(comm, path, 2**30)
    if comm.size == 1:
        assert piece is None
        return
    assert (piece.name, piece.sha256) == (whole.name, whole.sha256)
    held = whole.features[piece.held]
    assert piece.features.shape == held.shape and piece.features.dtype == held.dtype
    assert (piece.features != held).nnz == 0 and piece.features.nnz == held.nnz
    spans = comm.allgather([piece.held.start, piece.held.stop])
    assert spans[0][0] == 0 and spans[-1][1] == len(whole.labels)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    if comm.rank == 0:
        np.testing.assert_array_equal(piece.labels, whole.labels)
        assert len(piece.held) < len(whole.labels) or text is TEXTS["one long line"]
    workers = min(2 * comm.size + 1, len(whole.labels))
    if workers < comm.size:
        return
    placement = Placement(workers, comm.size, comm.rank)
    fraction = 0.2 if workers < 2 * len(whole.labels) // 3 else 0.0
    rows = assign(whole.labels, Data(order="shuffled", test_fraction=fraction), workers, 3)
    given = rows if comm.rank == 0 else None
    local = redistribute(Door(MpiTransport(comm)), placement, piece, given, 3)
    assert local.longest == max(map(len, rows[0])) and local.classes == 2
    assert (local.train_rows, local.test_rows) == tuple(sum(map(len, part)) for part in rows)
    mine = [rows[0][w] for w in placement.workers]
    mine.append(np.concatenate([rows[1][w] for w in placement.workers]))
    for got, numbers in zip([*local.workers, local.test], mine, strict=True):
        expected = whole.features[numbers]
        assert got.features.dtype == expected.dtype and got.features.nnz == expected.nnz
        np.testing.assert_array_equal(got.features.toarray(), expected.toarray())
        np.testing.assert_array_equal(got.labels, whole.labels[numbers])


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_refused_is_told_in_the_words_of_one_rank(
    comm, reading, tmp_path, monkeypatch, text
):
    from mpi_lowrank.comm import world
    from mpi_lowrank.datasets import load
    from mpi_lowrank.errors import UserError

    path, told = shared(comm, tmp_path, text), []
    monkeypatch.setattr(world, "report", lambda error: told.append(str(error)))
    with pytest.raises(UserError) as alone:
        load(path)
    if comm.size == 1:
        return
    with pytest.raises(world.AgreedError):
        reading.read(comm, path, 2**30, "mine.toml: GD: ")
    assert everybody(comm, told) == [f"mine.toml: GD: {alone.value}"]


def test_pieces_that_take_more_than_a_rank_has_are_refused(comm, reading, tmp_path, monkeypatch):
    from mpi_lowrank.comm import world

    path, told = shared(comm, tmp_path, GOOD), []
    monkeypatch.setattr(world, "report", lambda error: told.append(str(error)))
    if comm.size > 1:
        with pytest.raises(world.AgreedError):
            reading.read(comm, path, 100)
        assert "a 16th of the memory" in everybody(comm, told)[0]


def test_what_is_compressed_short_or_not_there_for_all_is_left_to_rank_0(
    comm, reading, tmp_path, monkeypatch
):
    path = shared(comm, tmp_path, GOOD, "given.gz")
    assert reading.read(comm, path, 2**30) is None
    assert reading.read(comm, path + "none", 2**30) is None
    path = shared(comm, tmp_path, GOOD)
    monkeypatch.setattr(reading, "PIECE", len(GOOD))
    assert reading.read(comm, path, 2**30) is None
    monkeypatch.setattr(reading, "PIECE", 16)
    if comm.rank == comm.size - 1:
        monkeypatch.setattr(reading, "_size", lambda path: -1)
    assert reading.read(comm, path, 2**30) is None


def test_a_rank_that_sees_another_file_is_told_of(comm, reading, tmp_path, monkeypatch):
    from mpi_lowrank.comm import world
    from mpi_lowrank.datasets import libsvm

    path, told = shared(comm, tmp_path, GOOD), []
    monkeypatch.setattr(world, "report", lambda error: told.append(str(error)))
    if comm.size == 1:
        return
    read_range = libsvm.read_range
    if comm.rank == 1:
        monkeypatch.setattr(libsvm, "read_range", lambda *a: read_range(*a).replace(b"5", b"6"))
    with pytest.raises(world.AgreedError):
        reading.read(comm, path, 2**30)
    assert "rank 1 reads another file there" in everybody(comm, told)[0]


def test_rows_that_are_damaged_on_their_way_are_one_line(comm, reading, tmp_path):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.comm.redistribute import redistribute
    from mpi_lowrank.datasets import Data, assign
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.errors import UserError

    class Damaging(MpiTransport):
        """What is received last has another last bit."""

        def receive(self, array, source):
            super().receive(array, source)
            if array.dtype == np.float64:
                array.view(np.uint8)[-1] ^= 1

    if comm.size == 1:
        return
    piece = reading.read(comm, shared(comm, tmp_path, GOOD), 2**30)
    data = Data(order="shuffled")
    rows = assign(piece.labels, data, comm.size, 0) if comm.rank == 0 else None
    placement = Placement(comm.size, comm.size, comm.rank)
    with pytest.raises(UserError, match=rf"rows of workers {comm.rank} to {comm.rank} are not"):
        redistribute(Door(Damaging(comm)), placement, piece, rows, 0)


CONFIG = """
workers = 5
rounds = 2
stepsize = "1/L"
data = {{ name = "{path}", order = "shuffled", test_fraction = 0.2 }}
[[cases]]
method = "EF21"
compressor = "topk:k=2"
"""


def test_a_run_has_the_same_rows_and_checksum_whoever_reads(comm, reading, tmp_path, monkeypatch):
    from mpi_lowrank import config
    from mpi_lowrank.record import Record
    from mpi_lowrank.run import experiment

    if comm.size > 2:
        return  # two ranks tell as much
    path, told, pieces = shared(comm, tmp_path, GOOD), [], []
    read = reading.read
    monkeypatch.setattr(reading, "read", lambda *a: pieces.append(read(*a)) or pieces[-1])
    for name, piece in (("all", 16), ("one", 2**20)):
        monkeypatch.setattr(reading, "PIECE", piece)
        given = config.parse(CONFIG.format(path=path), tmp_path / "mine.toml", ())
        assert experiment.run(given, comm, tmp_path / name, quiet=True) == "finished"
        comm.Barrier()
        if comm.rank == 0:
            record = Record(tmp_path / name)
            (case,) = record.cases.values()
            told.append((list(record.attributes["data_sha256"]), case.columns()))
    assert [piece is not None for piece in pieces] == [comm.size > 1, False]
    for (sha256, rounds), (expected, alone) in [told] if told else []:
        assert sha256 == expected
        for column in rounds.keys() - {"seconds"}:
            np.testing.assert_array_equal(rounds[column], alone[column])
