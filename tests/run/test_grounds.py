"""Grounds are made once for the seeds of a sweep, and large ones give way to the next."""

from dataclasses import replace

import pytest

from mpi_lowrank.config import Case
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.registry import Choice
from mpi_lowrank.run import grounds
from mpi_lowrank.run.assembly import Ground, ground
from mpi_lowrank.run.grounds import MOST, Grounds

CASE = Case(
    label="a",
    method=Choice("GD"),
    compressor=Choice("dense"),
    problem=Choice("matrix", {"shape": (4, 3), "heterogeneity_rank": 1}),
    workers=2,
)


@pytest.fixture
def made() -> list[int]:
    """The seeds whose grounds were made, in order."""
    return []


def _of(kept: Grounds, seed: int, made: list[int]) -> Ground:
    case = replace(CASE, seed=seed)

    def make() -> Ground:
        made.append(seed)
        return ground(case, Door(Alone()))

    return kept.of(case, make)


def test_seeds_that_take_turns_are_made_once(made):
    kept = Grounds()
    first = [_of(kept, seed, made) for seed in range(3)]
    again = [_of(kept, seed, made) for seed in range(3)]
    assert made == [0, 1, 2]
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_so_many_are_kept_and_no_more(made):
    kept = Grounds()
    for seed in [*range(MOST + 1), MOST, 0]:
        _of(kept, seed, made)
    assert made == [*range(MOST + 1), 0]


def test_a_large_one_is_kept_alone(made, monkeypatch):
    monkeypatch.setattr(grounds, "NUMBERS", 0)
    kept = Grounds()
    for seed in (0, 0, 1, 0):
        _of(kept, seed, made)
    assert made == [0, 1, 0]
