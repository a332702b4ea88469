"""Two checkouts compared: this one against itself, and against a copy that was changed."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank import config
from mpi_lowrank.datasets import load
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.methods import methods
from mpi_lowrank.run.assembly import data_name
from mpi_lowrank.run.check import check

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "bench"))

import same  # noqa: E402 (bench/ comes first)

RUNS = [("allgather", "float32", 2), ("server", "float64", 1)]


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy in which one method's step is a trifle longer."""
    copy = tmp_path_factory.mktemp("changed")
    shutil.copytree(PROJECT / "mpi_lowrank", copy / "mpi_lowrank")
    source = copy / "mpi_lowrank/methods/gradient_descent.py"
    step = "self.move(mean)"
    assert step in source.read_text()
    source.write_text(source.read_text().replace(step, "self.move(mean * (1 + 1e-6))"))
    return copy


def test_a_change_of_one_method_is_found_and_nothing_else(changed, tmp_path, mpirun, monkeypatch):
    few = {name: text.replace(same.RELATIVES, "") for name, text in same.BY_TOPOLOGY.items()}
    monkeypatch.setattr(same, "BY_TOPOLOGY", few)
    found = same.compare_runs((PROJECT, changed), ["scaled_sign"], tmp_path, RUNS)
    assert {f.what for f in found} == {"loss", "grad_norm_sq"}
    methods = {f.where.split(": ")[1].split()[0] for f in found}
    assert methods == {"GD", "DCGD"}
    runs = {f.where.split(": ")[0] for f in found}
    assert runs == {"allgather float32 on 2", "server float64 on 1"}


def test_every_method_has_a_case_that_can_run(tmp_path):
    found = set()
    for topology in same.BY_TOPOLOGY:
        text = same._configuration(topology, "float32", ["topk:k=2"])
        cases = config.parse(text, tmp_path / "same.toml", ()).cases
        for case in cases:
            check(case, Placement(5, 1, 0), load(data_name(case)), 2**40)
        found |= {case.method.name for case in cases}
    assert found == set(methods.names())


def test_specifications_are_those_of_the_checkout_not_of_the_working_folder(tmp_path, monkeypatch):
    certificate = tmp_path / "mpi_lowrank/certificate"
    certificate.mkdir(parents=True)
    (certificate.parent / "__init__.py").touch()
    (certificate / "__init__.py").write_text("def default_specs(): return ['theirs']")
    monkeypatch.chdir(PROJECT)
    assert same._specifications(tmp_path) == ["theirs"]


def test_the_first_row_that_differs_is_named():
    old, new = ({"a": {"loss": np.array([1.0, last])}} for last in (2.0, 3.0))
    compared, (difference,) = same._between(old, new, "run")
    assert compared == 2 and str(difference) == "run: a: loss: [1] 2.0 -> [1] 3.0"


def test_a_case_that_one_side_lacks_is_a_difference():
    _, (difference,) = same._between({"a": {}}, {}, "run")
    assert difference == ("run", "a", True, False)
