"""Lines of a log over a sweep."""

import re
import time

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
