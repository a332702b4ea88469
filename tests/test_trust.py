"""Nothing that a run reads is unpickled, evaluated or handed to a shell: read off the source."""

import ast
from pathlib import Path

import numpy as np
import pytest

import mpi_lowrank
from mpi_lowrank.datasets import datasets
from mpi_lowrank.datasets.libsvm import OPENERS

PACKAGE = Path(mpi_lowrank.__file__).parent

EVALUATES = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
TRUSTS = {"allow_pickle", "shell", "eval_str"}

ALLOWED = {
    "component.py": {"eval"},  # the annotations of classes: whoever writes one is a programmer
    "config/listing.py": {"__import__"},  # rooms of the package, by names that it holds itself
}


def trusting(text):
    """The names of what evaluates, unpickles or trusts."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in EVALUATES:
                yield node.func.id
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in TRUSTS and not off:
                    yield keyword.arg
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in modules if name.partition(".")[0] in UNPICKLES)


def test_nothing_unpickles_evaluates_or_trusts_a_text():
    found = {
        path.relative_to(PACKAGE).as_posix(): set(trusting(path.read_text()))
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: names for name, names in found.items() if names} == ALLOWED


def test_what_does_is_found():
    text = "import pickle as p\nfrom yaml import load\neval(x)\nnp.load(f, allow_pickle=True)\n"
    text += "np.load(f, allow_pickle=False)\nre.compile(x)\nrun(x, shell=yes)\nmodel.eval()\n"
    assert sorted(trusting(text)) == ["allow_pickle", "eval", "pickle", "shell", "yaml"]


def test_numpy_does_not_unpickle_unless_it_is_told_to(tmp_path):
    np.save(tmp_path / "some.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "some.npy")


def test_what_is_downloaded_is_hashed_as_it_is_but_for_one_set():
    """That one's published checksum is of its text: it is decompressed, within bounds, before."""
    files = [getattr(datasets[name], "file", "") for name in datasets.names()]
    assert [file for file in files if Path(file).suffix in OPENERS] == ["ijcnn1.bz2"]
