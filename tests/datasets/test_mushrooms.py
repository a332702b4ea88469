import hashlib

import numpy as np
import pytest

from mpi_lowrank.datasets import fetch, load, mushrooms

# Of the UCI file without its attribute stalk-root.
UCI_SHA256 = "8396e2659a87c7188f4b06562352e3c2032c985a6373ff7187bcba441cf23b96"


@pytest.fixture
def record():
    """The last value of every attribute, class poisonous."""
    return {name: values[-1] for name, values in mushrooms.ATTRIBUTES.items()} | {"class": "p"}


def libsvm_text(features, labels):
    lines = [
        f"{1 if label < 0 else 2} " + "".join(f"{column + 1}:1 " for column in row)
        for row, label in zip(features.indices.reshape(len(labels), -1), labels, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def test_the_carried_records_make_libsvm_s_file_byte_for_byte():
    features, labels = mushrooms.features_and_labels()
    text = libsvm_text(features, labels)
    assert len(text) == 879712
    assert hashlib.sha256(text).hexdigest() == mushrooms.Mushrooms.sha256


def test_the_carried_records_decode_to_uci_s():
    features, labels = mushrooms.features_and_labels()
    values = "".join(mushrooms.ATTRIBUTES.values())
    lines = [
        ",".join(["p" if label < 0 else "e", *(values[column] for column in row)])
        for row, label in zip(features.indices.reshape(len(labels), -1), labels, strict=True)
    ]
    assert lines[0] == "p,x,s,n,t,p,f,c,n,k,e,s,s,w,w,p,w,o,p,k,s,u"
    text = "".join(f"{line}\n" for line in lines)
    assert hashlib.sha256(text.encode()).hexdigest() == UCI_SHA256


def test_the_rows_are_boolean_and_counted_as_published():
    data = load("mushrooms")
    assert data.features.dtype == bool and data.features.shape == (8124, 112)
    assert data.features.nnz == 170604
    assert np.count_nonzero(data.labels < 0) == 3916 and data.labels.dtype == np.int32


def test_they_need_no_fetching(monkeypatch):
    monkeypatch.setenv("MPI_LOWRANK_DATA", "/nowhere")
    assert fetch("mushrooms") == mushrooms.FILE


def test_records_are_encoded_in_libsvm_s_order(record):
    columns, labels = mushrooms.encode([record, record | {"class": "e", "cap-shape": "c"}])
    widths = [len(values) for values in mushrooms.ATTRIBUTES.values()]
    assert columns[0].tolist() == (np.cumsum(widths) - 1).tolist()
    assert columns[1][0] == 0 and labels.tolist() == [-1, 1]


@pytest.mark.parametrize("change", [{"odor": "?"}, {"class": "x"}])
def test_a_value_out_of_libsvm_s_encoding_is_refused(record, change):
    with pytest.raises(KeyError):
        mushrooms.encode([record | change])


def test_of_the_attributes_only_the_constant_one_may_be_missing(record):
    columns, _ = mushrooms.encode([record])
    del record["veil-type"]
    np.testing.assert_array_equal(mushrooms.encode([record])[0], columns)
    del record["odor"]
    with pytest.raises(KeyError, match="odor"):
        mushrooms.encode([record])


def test_the_carried_file_is_made_from_records_as_csv(record, tmp_path, monkeypatch):
    source = tmp_path / "records.csv"
    source.write_text(",".join(record) + "\n" + ",".join(record.values()) + "\n")
    monkeypatch.setattr(mushrooms, "FILE", tmp_path / "made.npz")
    mushrooms.build(source)
    features, labels = mushrooms.features_and_labels()
    assert features.shape == (1, 112) and features.nnz == 21 and labels.tolist() == [-1]
