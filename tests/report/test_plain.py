"""What a record of somebody else's says, where a terminal or Matplotlib would obey it."""

from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank import cli
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, RecordWriter

WIPE = "\x1b[2J"
HOSTILE = f"a{WIPE}\n9 9 9 $\\frac{{1}}$\r\u202e"


@pytest.fixture
def hostile(tmp_path):
    """The path of a record whose every text is hostile."""
    path = tmp_path / f"r{WIPE}.h5"
    root = dict.fromkeys(("name", "baseline", "config", "versions", "command"), HOSTILE)
    writer = RecordWriter(path, root | {"hosts": [HOSTILE], "timing_reasons": [HOSTILE]})
    writer.start_case(HOSTILE, {"method": HOSTILE, "timing_valid": False, HOSTILE: 1})
    for number in range(1, 9):
        writer.append(dict.fromkeys(("round", "loss", "grad_norm_sq", "uplink_bytes"), number))
    verdict = {"status": HOSTILE, "valid": False, "reasons": [HOSTILE]}
    writer.finish_case(verdict, np.zeros(0, LEDGER_DTYPE), np.ones(1, PHASES_DTYPE))
    writer.close()
    return path


@pytest.mark.parametrize("command", ["table", "table --target loss=2", "show", "show --json"])
def test_nothing_steers_the_terminal(hostile, capsys, command):
    name, *options = command.split()
    assert cli.main([name, str(hostile), *options]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "[2J" in out
    assert all(line.isprintable() for line in out.splitlines())
    # A line end in a text begins no line of its own, which could be taken for a row.
    assert not any(line.startswith("9 9 9") for line in out.splitlines())


def test_figures_draw_labels_that_are_no_formulas(hostile, tmp_path):
    assert cli.main(["plot", str(hostile), "-o", str(tmp_path / "figures"), "--json"]) == 0
    assert len(list((tmp_path / "figures").glob("*.png"))) == 5


@pytest.mark.parametrize("folder", ["file", "file/within", "/proc/nothing"])
def test_a_folder_that_cannot_be_is_one_line(hostile, tmp_path, capsys, folder):
    (tmp_path / "file").touch()
    assert cli.main(["plot", str(hostile), "-o", str(Path(tmp_path, folder))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mpi-lowrank: error: ") and "cannot be written: " in line
