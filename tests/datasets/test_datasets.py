import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.datasets import Dataset, check, datasets, listing, load
from mpi_lowrank.errors import UserError

TEXT = b"-1 1:1 3:1\n+1 2:1\n"

OUTSIDE = """
import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets.base import Dataset, Source


class Mine(Source):
    rows, features, licence, sha256 = 2, 3, "mine", "0" * 64

    def where(self):
        return "bundled"

    def fetch(self):
        return __file__

    def load(self):
        return Dataset(self.name, csr_array(np.ones((2, 3))), np.array([-1, 1]), self.sha256)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(TEXT)
    return path


def test_check_tells_what_a_file_holds(file):
    found = check(file)
    assert (found["rows"], found["features"], found["nonzeros"]) == (2, 3, 3)
    assert found["classes"] == {"-1": 1, "1": 1} and found["known as"] is None
    assert found == json.loads(json.dumps(found))


def test_check_tells_apart_labels_that_differ_in_the_last_digit(file):
    file.write_bytes(b"1234567 1:1\n1234568 1:1\n0.30000000000000004 1:1\n0.3 1:1\n0.3 1:1\n")
    counts = {"1234567": 1, "1234568": 1, "0.30000000000000004": 1, "0.3": 2}
    assert check(file)["classes"] == counts


def test_check_knows_libsvm_s_files(ground_truth):
    assert check(ground_truth("mushrooms"))["known as"] == "mushrooms"


def test_a_known_set_s_file_has_the_declared_width_by_its_path_too(file, monkeypatch):
    monkeypatch.setattr(datasets["a9a.t"], "sha256", hashlib.sha256(TEXT).hexdigest())
    assert load(str(file)).features.shape == (2, 123)
    assert (check(file)["features"], check(file)["known as"]) == (123, "a9a.t")


def test_a_file_is_loaded_by_its_path(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert load("some").features.shape == load(str(file)).features.shape == (2, 3)


def test_a_file_does_not_take_the_name_of_a_known_set(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    file.rename("mushrooms")
    assert len(load("mushrooms").labels) == 8124
    assert len(load("./mushrooms").labels) == 2


def test_the_catalogue_says_where_each_set_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MPI_LOWRANK_DATA", str(tmp_path))
    (tmp_path / "a9a.xz").touch()
    where = {entry["name"]: entry["where"] for entry in listing()}
    assert where["mushrooms"] == "bundled" and where["a9a"] == "cached"
    assert where["w8a"] == "not fetched"


def test_the_command_line_lists_fetches_and_checks(file, capsys):
    assert main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"] == listing()
    assert main(["data", "fetch", "mushrooms"]) == 0
    assert capsys.readouterr().out.endswith("mushrooms.npz\n")
    assert main(["data", "check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == check(file)


def test_another_distribution_adds_its_data_set_by_an_entry_point(tmp_path):
    (tmp_path / "mine.py").write_text(OUTSIDE)
    (tmp_path / "mine-1.dist-info").mkdir()
    (tmp_path / "mine-1.dist-info" / "METADATA").write_text("Name: mine\nVersion: 1\n")
    entry = "[mpi_lowrank.datasets]\nmine = mine:Mine\n"
    (tmp_path / "mine-1.dist-info" / "entry_points.txt").write_text(entry)
    program = (
        "from mpi_lowrank.datasets import listing, load\n"
        "print(load('mine').features.shape, [e['licence'] for e in listing()])"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("(2, 3)") and "'mine'" in run.stdout


@pytest.mark.parametrize("labels", [["a", "b"], [2**31, 0], [1j, 0]])
def test_labels_that_are_neither_classes_nor_targets_are_refused(labels):
    with pytest.raises(
        UserError, match=r"data mine: has labels of type .*; expected class numbers"
    ):
        Dataset("mine", np.eye(2), np.array(labels), "")
