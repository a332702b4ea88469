"""bench/newton.py: the best step for each condition number, and what never arrived."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.record import Record

FOLDER = Path(__file__).parents[2] / "bench"
SHORT = ("cases.rounds=3", 'cases.stepsize=["0.01/L","16/L"]')


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    out = tmp_path_factory.mktemp("newton") / "newton.h5"
    program = [sys.executable, "-m", "mpi_lowrank", "run", FOLDER / "newton.toml", "--out", out]
    settings = [word for setting in SHORT for word in ("--set", setting)]
    subprocess.run([*program, *settings], check=True, timeout=100)
    return Record(out)


@pytest.fixture
def newton(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import newton

    return newton


@pytest.fixture
def found(newton, record):
    return newton.curves(record, ("grad_norm_sq", 1))


def test_every_method_of_the_file_has_a_name_and_a_row_per_condition_number(newton, found):
    assert list(found) == list(newton.NAMES.values())
    for rows in found.values():
        kappas = [(2.586413 + strength) / strength for strength in (1e-2, 1e-3, 1e-4, 1e-5)]
        np.testing.assert_allclose(list(rows), kappas, rtol=1e-5)
    assert {row["stepsize"] for row in found["EF21, sdd 16 x 7"].values()} == {"16/L"}


def test_the_table_names_the_step_where_there_was_a_choice(newton, found, capsys):
    newton.print_table(found)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(newton.NAMES)
    assert "16/L" in lines[-1] and "/ -" in lines[2] and "/L" not in lines[2]


def test_what_never_arrived_is_a_cross_on_the_edge(newton, record):
    found = newton.curves(record, ("grad_norm_sq", 1e-6))
    figure = newton.draw(found)
    lost = sum(row["rounds"] is None for rows in found.values() for row in rows.values())
    for axes in figure.axes:
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        assert len(crosses) == lost > 0
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [*newton.NAMES.values(), "did not arrive"]
