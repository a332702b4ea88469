"""Lines of a log over a sweep."""

import re
import time
from types import SimpleNamespace

import pytest

from mpi_lowrank.run import progress
from mpi_lowrank.run.evaluation import Measures
from mpi_lowrank.run.rows import Row

ROW = Row(15, Measures(0.5, 1e-3, 1.0, 1.0, 1.0), seconds=0.1, lost=False)


@pytest.mark.parametrize("silent", [False, True])
def test_cases_shorter_than_the_interval_get_their_lines_together(monkeypatch, capsys, silent):
    monkeypatch.setattr(progress, "EVERY", 0.1)
    shown = progress.Progress(12, None, silent)
    for number in range(12):
        with shown.case(number, "EF21", 30):
            time.sleep(0.03)
            shown.row_measured(ROW)
    lines = capsys.readouterr().err.splitlines()
    assert 0 < len(lines) < 12 if not silent else not lines
    for line in lines:
        assert re.fullmatch(r"\[\d+/12\] EF21: round 15 of 30, loss 0.5, .*", line)


def test_what_is_left_is_that_of_the_whole_sweep(monkeypatch, capsys):
    """Cases 2 and 3 of 5, the first being there already: 60 s for one, half of the next in 30."""
    now = iter([0.0, 0.0, 60.0, 60.0, 60.0, 90.0, 90.0, 90.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = progress.Progress(5, None, silent=False)
    with shown.case(1, "EF21", 15):
        shown.row_measured(ROW)
    with shown.case(2, "EF21", 30):
        shown.row_measured(ROW)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("all cases 03:00 left") and second.endswith("all cases 02:30 left")
