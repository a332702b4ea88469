import hashlib

import numpy as np
import pytest

from mpi_lowrank.datasets import digits, fetch, load

LINES = [",".join(["16", *["0"] * 62, "5", "9"]), ",".join(["0"] * 65)]


def uci_text(counts, labels):
    table = np.column_stack([counts, labels])
    return "".join(",".join(map(str, line)) + "\n" for line in table.tolist()).encode()


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "FILE", tmp_path / "made.npz")
    source = tmp_path / "images.csv"

    def from_lines(lines):
        source.write_text("".join(f"{line}\n" for line in lines))
        digits.build(source)

    return from_lines


def test_the_carried_images_make_uci_s_text_byte_for_byte():
    counts, labels = digits.counts_and_labels()
    assert counts.dtype == np.uint8 and labels.dtype == np.int8
    assert hashlib.sha256(uci_text(counts, labels)).hexdigest() == digits.Digits.sha256


def test_the_rows_are_dense_scaled_exactly_and_counted_as_published():
    data, (counts, _) = load("digits"), digits.counts_and_labels()
    assert data.features.shape == (1797, 64) and data.features.dtype == np.float64
    np.testing.assert_array_equal(data.features.astype(np.float32) * 16, counts)
    assert data.features.min() == 0 and data.features.max() == 1
    assert data.labels.dtype == np.int32
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_they_need_no_fetching(monkeypatch):
    monkeypatch.setenv("MPI_LOWRANK_DATA", "/nowhere")
    assert fetch("digits") == digits.FILE


def test_the_carried_file_is_made_from_uci_s_text(build):
    build(LINES)
    counts, labels = digits.counts_and_labels()
    assert counts[:, [0, 63]].tolist() == [[16, 5], [0, 0]] and labels.tolist() == [9, 0]


@pytest.mark.parametrize(
    "line", ["0,1", ",".join(["17", *["0"] * 64]), ",".join([*["0"] * 64, "10"])]
)
def test_other_text_than_uci_s_is_refused(build, line):
    with pytest.raises(ValueError, match="64 counts from 0 to 16"):
        build([line, line])
