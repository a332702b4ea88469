import re
from pathlib import Path

import numpy as np

import mpi_lowrank.record
from mpi_lowrank.record import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, SCHEMA, THEORY

README = (Path(mpi_lowrank.record.__file__).parent / "README.md").read_text(encoding="utf-8")


def rows(heading):
    text = README.split(f"### `{heading}")[1].split("\n#")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def type_name(dtype):
    return f"S{dtype.itemsize}" if dtype.kind == "S" else np.dtype(dtype).newbyteorder("=").name


def test_the_readme_lists_the_columns():
    expected = [[n, type_name(c.dtype), c.units, c.meaning] for n, c in COLUMNS.items()]
    assert rows("rounds") == expected


def test_the_readme_lists_the_columns_of_theory():
    assert rows("theory") == [[n, "float64", m.units, m.meaning] for n, m in THEORY.items()]


def test_the_readme_lists_the_fields_of_both_tables():
    for heading, dtype in (("ledger", LEDGER_DTYPE), ("phases", PHASES_DTYPE)):
        expected = [[name, type_name(dtype[name])] for name in dtype.names]
        assert [row[:2] for row in rows(heading)] == expected


def test_the_readme_names_the_schema():
    assert re.search(r"schema `(\S+)`", README).group(1) == SCHEMA
