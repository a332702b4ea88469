"""Which kernels are chosen, and that Numba is imported and compiles no more often than it must."""

import os
import subprocess
import sys

import pytest

from mpi_lowrank import kernels
from mpi_lowrank.errors import UserError
from mpi_lowrank.kernels import choice

STARTS = """
import sys
import mpi_lowrank.cli
from mpi_lowrank import kernels
assert kernels.family("lowrank", kernels.choice.LARGE - 1).__name__.endswith("plain.lowrank")
assert "numba" not in sys.modules
import numpy as np
import doubled
assert doubled.double(np.ones(3)) == 6.0
print(sum(doubled.double.stats.cache_misses.values()))
"""

DOUBLED = """
from mpi_lowrank.kernels.cache import compiled

@compiled("float64(float64[::1])")
def double(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return 2 * total
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that asks for compiled code, with a cache of its own."""
    pytest.importorskip("numba")
    (tmp_path / "doubled.py").write_text(DOUBLED)
    more = {"PYTHONPATH": str(tmp_path), "MPI_LOWRANK_KERNELS": "auto"}
    environment = os.environ | more | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", STARTS]
    return lambda: subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_compile_once_and_damage_is_mended(start, tmp_path):
    missed = [one.communicate(timeout=60)[0] for one in [start() for _ in range(3)]]
    assert sorted(missed) == ["0\n", "0\n", "1\n"]
    for path in tmp_path.glob("cache/*/*.nb?"):
        path.write_bytes(path.read_bytes()[:-100])
    assert start().communicate(timeout=60)[0] == "1\n"


def test_where_no_cache_can_be_written_each_process_compiles_for_itself(monkeypatch):
    pytest.importorskip("numba")
    from mpi_lowrank.kernels import cache

    def no_folder(function):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(cache, "FunctionCache", no_folder)
    assert cache.compiled("int64(int64)")(lambda x: x + 1)(2) == 3


def test_the_choice_is_the_environment_s(monkeypatch):
    monkeypatch.setattr(choice, "_installed", lambda: True)
    assert kernels.check({}) == kernels.check({choice.VARIABLE: ""}) == "auto"
    assert kernels.told().startswith("numpy")  # as this session's conftest says
    for word in ("numpy", "numba", "auto"):
        assert kernels.check({choice.VARIABLE: word}) == word
    with pytest.raises(UserError, match=r"numpi.*allowed is auto, numpy, numba; did you mean nump"):
        kernels.check({choice.VARIABLE: "numpi"})


def test_without_numba_kernels_are_plain_and_numba_cannot_be_asked_for(monkeypatch):
    monkeypatch.setattr(choice, "_installed", lambda: False)
    monkeypatch.setenv(choice.VARIABLE, "auto")
    assert kernels.told() == "numpy" and "plain" in kernels.family("lowrank", 2**30).__name__
    with pytest.raises(UserError, match="not installed"):
        kernels.check({choice.VARIABLE: "numba"})


def test_a_numba_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setattr(choice, "_installed", lambda: True)
    monkeypatch.setenv(choice.VARIABLE, "numba")
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("cache", "compiled.lowrank"):
        monkeypatch.delitem(sys.modules, f"mpi_lowrank.kernels.{name}", raising=False)
    with pytest.raises(UserError, match=r"Numba cannot be imported.*MPI_LOWRANK_KERNELS=numpy"):
        kernels.family("lowrank", 1)
