import hashlib

import numpy as np

from mpi_lowrank.datasets import load, mushrooms


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
    assert hashlib.sha256(text).hexdigest() == mushrooms.SHA256


def test_the_rows_are_boolean_and_counted_as_published():
    data = load("mushrooms")
    assert data.features.dtype == bool and data.features.shape == (8124, 112)
    assert data.features.nnz == 170604
    assert np.count_nonzero(data.labels < 0) == 3916 and data.labels.dtype == np.int8


def test_records_are_encoded_in_libsvm_s_order():
    record = {name: values[-1] for name, values in mushrooms.ATTRIBUTES.items()} | {"class": "p"}
    columns, labels = mushrooms.encode([record, record | {"class": "e", "cap-shape": "c"}])
    widths = [len(values) for values in mushrooms.ATTRIBUTES.values()]
    assert columns[0].tolist() == (np.cumsum(widths) - 1).tolist()
    assert columns[1][0] == 0 and labels.tolist() == [-1, 1]
