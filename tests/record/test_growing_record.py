"""A record that grows by pieces: the image that they make, what tears and what damages them."""

import io
import itertools
import shutil

import h5py
import numpy as np
import pytest

import mpi_lowrank.record.flushes as flushes
import mpi_lowrank.record.pieces as pieces
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.record.merge import merge
from mpi_lowrank.record.seal import LENGTH, seal


def head(size):
    """How a file begins of which HDF5 says that it has so many bytes."""
    return b"\x89HDF\r\n\x1a\n" + bytes(32) + size.to_bytes(8, "little")


def images(count, seed=1):
    """Images of any length, each like the one before in most bytes; the last ones are shorter."""
    random, image = np.random.default_rng(seed), head(500) + bytes(452)
    for number in range(count):
        yield image
        new = bytearray(image)
        for place in random.integers(48, len(new), 5):
            new[place : place + 3] = random.bytes(3)
        grown = int(random.integers(1, 40)) if number < count // 2 else -int(random.integers(30))
        image = bytes(new[:grown] if grown < 0 else new + random.bytes(grown))


def test_pieces_make_every_image_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "MOST", 1000)
    first, *later = images(40)
    path = tmp_path / "r.h5"
    path.write_bytes(first + seal(first))
    growing = pieces.Pieces(path, first)
    for image in later:
        with path.open("ab") as file:
            file.write(bytes(900))  # as a write that failed may have left
        assert growing.append(image)
        with path.open("rb") as file:
            assert pieces.grown(file, 10_000) == image
            with pytest.raises(ValueError, match="an impossible length"):
                pieces.grown(file, 400)


def grow(path):
    """A record with pieces behind its image, and all that it was: (length, rows), in turn."""
    writer, states = RecordWriter(path, {"name": "r"}), []
    for label in "ab":
        writer.start_case(label, {"L_i": np.arange(5.0)})
        for number in range(9):
            writer.append({"round": number, "loss": 1 / (number + 1)})
            assert writer.publish()
            states.append((path.stat().st_size, told(path)))
        if label == "a":
            writer.finish_case(
                {"status": "finished"}, np.ones(300, LEDGER_DTYPE), np.ones(2, PHASES_DTYPE)
            )
    return writer, states


def told(path):
    return [
        (case.attributes["status"], case["loss"].tobytes(), case.ledger.tobytes())
        for case in Record(path).cases.values()
    ]


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    path = tmp_path_factory.mktemp("grown") / "r.h5"
    return path, *grow(path)


def test_a_record_with_pieces_is_what_the_whole_one_would_be(grown, tmp_path):
    path, writer, states = grown
    size, rows = states[-1]
    assert size > path.read_bytes().find(pieces.PIECE) > 0
    (tmp_path / "r.h5").write_bytes(path.read_bytes())
    image = writer._file.id.get_file_image()
    (tmp_path / "whole.h5").write_bytes(image)
    assert rows == told(tmp_path / "whole.h5") and len(rows) == 2 and len(rows[1][1]) == 9 * 8
    with path.open("rb") as file:
        assert pieces.grown(file, 10**9) == image
    with h5py.File(path) as file:  # what any reader of HDF5 finds: an earlier state
        assert file.attrs["status"] == "running"


def test_torn_at_any_byte_it_is_what_it_was_at_a_flush(grown, tmp_path):
    path, _, states = grown
    data, torn = path.read_bytes(), tmp_path / "r.h5"
    begin = data.find(pieces.PIECE)
    states = [state for state in states if begin < state[0] <= len(data)][-6:]
    for (size, rows), (following, _) in itertools.pairwise(states):
        if following > size:  # in between the image was not written anew
            for end in (size, size + 1, size + pieces.BEHIND, (size + following) // 2):
                torn.write_bytes(data[:end])
                assert told(torn) == rows


def test_a_flipped_bit_anywhere_in_it_is_an_error(grown, tmp_path):
    path, *_ = grown
    data, damaged = path.read_bytes(), tmp_path / "r.h5"
    random = np.random.default_rng(1)
    begin = data.find(pieces.PIECE) - LENGTH
    for place in random.integers(begin, len(data), 60):
        mutant = bytearray(data)
        mutant[place] ^= 1 << int(random.integers(8))
        damaged.write_bytes(mutant)
        with pytest.raises(UserError, match=r"r\.h5: is damaged: "):
            Record(damaged)
    for place in random.integers(begin, size=10):
        damaged.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(UserError):
            Record(damaged)


def test_pieces_of_another_image_or_in_another_order_are_damage(grown, tmp_path):
    path, _, states = grown
    data, mixed = path.read_bytes(), tmp_path / "r.h5"
    first, second, third = (size for size, _ in states[-3:])
    assert first < second < third == len(data)
    mixed.write_bytes(data[:first] + data[second:])
    with pytest.raises(UserError, match="the bytes of a piece are not those of its checksum"):
        Record(mixed)


def test_a_piece_that_changes_what_is_not_there_is_an_error():
    image = head(48)
    for runs in ([1, 2000], [5, -1], [-3, 2]):
        changes = np.array([2, *runs], "<i8").tobytes() + bytes(8 * 2000)
        piece = pieces._Piece(48, pieces.zlib.compress(changes))
        with pytest.raises(ValueError, match="changes what its image has not"):
            pieces._apply(piece, pieces._words(image, 48))


def test_a_file_that_was_moved_away_is_left_alone_and_another_is_written(tmp_path):
    path, moved = tmp_path / "r.h5", tmp_path / "moved.h5"
    writer, _ = grow(path)
    path.rename(moved)
    before = moved.read_bytes()
    writer.append({"round": 9})
    assert writer.publish() and len(Record(path).cases["b"]) == 10
    path.unlink()
    shutil.copy(moved, path)  # not the file to which this writer appends
    writer.append({"round": 10})
    assert writer.publish() and len(Record(path).cases["b"]) == 11
    writer.close()
    assert moved.read_bytes() == before
    assert path.read_bytes()[-LENGTH:] == seal(path.read_bytes()[:-LENGTH])  # one whole file


def test_what_is_written_in_all_is_a_small_multiple_of_the_record(tmp_path, monkeypatch):
    """Of 50 flushes of 20 rows each; written whole each time it would be 25 times."""
    monkeypatch.setattr(flushes, "INTERVAL", 0.0)
    path, written, before = tmp_path / "r.h5", 0, (0, 0)
    writer = RecordWriter(path, {})
    writer.start_case("a", {})
    for number in range(1000):
        writer.append({"round": number, "loss": np.sin(number), "seconds": number / 7})
        if number % 20 == 19:
            assert writer.publish()
            now = path.stat()
            written += now.st_size - (before[1] if now.st_ino == before[0] else 0)
            before = now.st_ino, now.st_size
    writer.close()
    assert written + path.stat().st_size < 4 * path.stat().st_size
    assert len(Record(path).cases["a"]) == 1000


def test_merged_alone_it_is_one_hdf5_file(grown, tmp_path):
    path, _, states = grown
    merge([path], tmp_path / "whole.h5")
    assert told(tmp_path / "whole.h5") == states[-1][1]
    with h5py.File(tmp_path / "whole.h5") as file:
        assert len(file["cases/b/rounds/loss"]) == 9


def test_no_hdf5_has_no_pieces():
    for data in (b"", b"text", head(0)[:20], head(10**9)):
        assert pieces.grown(io.BytesIO(data), 10**9) is None
