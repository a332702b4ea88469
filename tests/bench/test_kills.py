"""The comparison that is to notice what kills did to a record."""

import sys
from pathlib import Path

import pytest

from mpi_lowrank.record import Record

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import kills


@pytest.fixture
def twice(tmp_path):
    """Two records of the same cases, the second one with another seed."""
    for seed in (1, 2):
        config = tmp_path / f"{seed}.toml"
        config.write_text(f"seed = {seed}" + kills.CONFIG.format(rounds=20))
        assert kills.run(config, tmp_path / f"{seed}.h5").wait(timeout=60) == 0
    return [Record(tmp_path / f"{seed}.h5") for seed in (1, 2)]


def test_what_differs_is_noticed(twice):
    one, other = twice
    assert kills.differences(one, one) == []
    told = kills.differences(one, other)
    assert "EF21 + Rand-5 0.05/L: loss" in told and not [t for t in told if "round" in t]
    label = next(iter(other.cases))
    del other.cases[label]
    assert kills.differences(one, other)[0].startswith("the cases are ")
