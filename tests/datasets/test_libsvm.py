import bz2
import gzip
import lzma
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_lowrank.datasets import libsvm, load
from mpi_lowrank.errors import UserError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.tuples(FINITE, st.dictionaries(st.integers(1, 50), FINITE, max_size=8)), min_size=1
)


def write(rows):
    lines = [
        " ".join([repr(label), *(f"{index}:{row[index]!r}" for index in sorted(row))])
        for label, row in rows
    ]
    return "\n".join(lines).encode() + b"\n"


@settings(deadline=None)
@given(ROWS)
def test_what_was_written_is_read_to_the_bit(rows):
    features, labels = libsvm.parse(write(rows), "given", width=50)
    assert features.shape == (len(rows), 50)
    np.testing.assert_array_equal(labels, [label for label, _ in rows])
    expected = np.zeros((len(rows), 50))
    for number, (_, row) in enumerate(rows):
        for index, value in row.items():
            expected[number, index - 1] = value
    np.testing.assert_array_equal(features.toarray().astype(float), expected)
    assert features.nnz == sum(len(row) for _, row in rows)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_with_one_line(text):
    try:
        libsvm.parse(text, "given")
    except UserError as error:
        assert str(error).startswith("given") and "\n" not in str(error)


def test_ones_are_kept_as_booleans_and_other_values_as_floats():
    assert libsvm.parse(b"1 1:1 3:1.0\n-1 2:1\n", "given")[0].dtype == bool
    assert libsvm.parse(b"1 1:1 3:0.5\n", "given")[0].dtype == np.float64


def test_column_numbers_take_four_bytes():
    features, _ = libsvm.parse(b"1 1:1 3:1.0\n-1 2:1\n", "given")
    carried = load("mushrooms").features
    assert {m.dtype for f in (features, carried) for m in (f.indices, f.indptr)} == {np.dtype("i4")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\n \n", ["is empty"]),
        ("1\n-1\n", ["no line has an INDEX:VALUE"]),
        ("1 1:1\n-1 2;1\n", ["line 2", "'2;1'", "LABEL INDEX:VALUE"]),
        ("1 1:1\n\n-1 2:1\n", ["line 2", "''"]),
        ("1 1:1\none 2:1\n", ["line 2", "'one'"]),
        ("1 1:1 2\n", ["line 1", "'2'"]),
        ("1 1:\n", ["line 1", "'1:'"]),
        ("1 1: 2\n", ["line 1", "'1:'"]),
        ("1 1.0:2\n", ["line 1", "'1.0:2'"]),
        ("1 1:1_0\n", ["line 1", "'1:1_0'"]),
        ("1 1:1 # note\n", ["line 1", "'#'"]),
        ("1 1:nan\n", ["line 1", "'1:nan'", "finite"]),
        ("1 1:1 2:-inf\n", ["line 1", "'2:-inf'", "finite"]),
        ("nan 1:1\n", ["line 1", "'nan'"]),
        ("1 1:1\n1 2:1e999\n", ["line 2", "2:inf", "finite"]),
        ("1e999 2:1\n", ["line 1", "label inf"]),
        ("1 1:1\n1 1:2\n1 0:1 2:1\n", ["line 3", "0:1", "start at 1"]),
        ("1 3:1 2:1\n", ["line 1", "2:1", "must increase"]),
        ("1 3:1 2:1\n1 0:1\n1 1:1e999\n", ["line 1", "2:1", "must increase"]),
        ("1 3:1 0:1\n", ["line 1", "0:1", "start at 1"]),
        ("1 3:1 3:1\n", ["line 1", "3:1", "must increase"]),
        ("1 -3:1\n", ["line 1"]),
        ("1 99999999999:1\n", ["line 1", "99999999999:1", "end at"]),
    ],
)
def test_a_malformed_line_is_named_with_its_number(text, words):
    with pytest.raises(UserError) as caught:
        libsvm.parse(text.encode(), "given")
    for word in ["given", *words]:
        assert word in str(caught.value)


def test_a_long_line_that_is_wrong_at_its_end_is_refused_at_once():
    line = "1 " + " ".join(f"{index}:255" for index in range(1, 5000))
    with pytest.raises(UserError, match="line 1: 'x'"):
        libsvm.parse(f"{line} x\n{line}\n".encode(), "given")


def test_a_long_misfit_is_cut_short_in_the_message():
    with pytest.raises(UserError) as caught:
        libsvm.parse(b"1 " + b"x" * 100_000, "given")
    assert len(str(caught.value)) < 200


def test_an_index_beyond_the_declared_width_is_refused():
    with pytest.raises(UserError, match="line 1: 6:1; indices end at 5"):
        libsvm.parse(b"1 2:1 6:1\n", "given", width=5)


def test_indices_may_fall_from_one_line_to_the_next_and_the_end_need_no_newline():
    features, _ = libsvm.parse(b"1 5:1\r\n-1 \n+1 1:1", "given")
    assert features.indptr.tolist() == [0, 1, 1, 2] and features.shape == (3, 5)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", bytes)],
)
def test_compressed_files_are_read_and_truncated_ones_refused(tmp_path, suffix, compress):
    path = tmp_path / f"set{suffix}"
    text = b"-1 1:1 4:2.5\n+1 2:1\n" * 20
    path.write_bytes(compress(text))
    dataset = load(str(path))
    assert dataset.labels.tolist() == [-1, 1] * 20 and dataset.features.shape == (40, 4)
    if suffix:
        path.write_bytes(compress(text)[:-6])
        with pytest.raises(UserError, match=f"set{suffix}: cannot be read"):
            load(str(path))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", partial(lzma.compress, preset=0))],
)
def test_a_small_file_of_endless_text_is_refused_in_bounded_memory(tmp_path, suffix, compress):
    path = tmp_path / f"set{suffix}"
    path.write_bytes(compress(b"1 1:1\n" * 10**6) * 25)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=f"set{suffix}: has more than 64 MB of text"):
            load(str(path))
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()


def test_a_text_that_memory_cannot_take_is_refused(tmp_path):
    path = tmp_path / "set"
    with path.open("wb") as stream:
        stream.truncate(10**13)
    with pytest.raises(UserError, match="of the memory there is"):
        libsvm.read_text(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_what_is_not_compressed_as_its_name_says_is_refused(tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    path.write_bytes(b"-1 1:1 4:2.5\n" * 20)
    with pytest.raises(UserError, match=f"set{suffix}: cannot be read"):
        load(str(path))


def test_a_damaged_gzip_file_is_refused(tmp_path):
    path = tmp_path / "set.gz"
    path.write_bytes(gzip.compress(b"-1 1:1 4:2.5\n")[:10] + b"\xff" * 30)
    with pytest.raises(UserError, match=r"set\.gz: cannot be read"):
        load(str(path))


@pytest.mark.parametrize(("labels", "n"), [("1 1", 1), ("1 2 3", 3)])
def test_other_than_two_classes_are_refused(labels, n):
    with pytest.raises(UserError, match=f"has {n} classes"):
        libsvm.signs(np.array(labels.split(), float), "given")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none': no such file"):
        load(str(tmp_path / "none"))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load(str(tmp_path))


def test_w8a_is_read_whole(ground_truth):
    text = libsvm.read_text(ground_truth("w8a.gz"))
    features, labels = libsvm.parse(text, "w8a")
    assert (features.shape, features.nnz) == ((49749, 300), 579586)
    assert np.count_nonzero(labels > 0) == 1479 and features.dtype == bool


def test_the_carried_mushrooms_equal_libsvm_s_file(ground_truth):
    path: Path = ground_truth("mushrooms")
    read, carried = load(str(path)), load("mushrooms")
    assert read.sha256 == carried.sha256
    np.testing.assert_array_equal(read.labels, carried.labels)
    assert (read.features != carried.features).nnz == 0 and read.features.dtype == bool
