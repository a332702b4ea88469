"""Which cases of a configuration are to run: by their labels, and a share of these for each job."""

import re
from dataclasses import replace
from fnmatch import fnmatchcase

from mpi_lowrank.config.case import Experiment
from mpi_lowrank.config.tune import units
from mpi_lowrank.errors import UserError, one_of

SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


def select(experiment: Experiment, glob: str | None = None, shard: str | None = None) -> Experiment:
    """The experiment with fewer cases chosen: those whose label fits `glob`, and `shard` of them.

    I/N chooses every N-th one from the I-th on, what is tuned together as one. Raises UserError for
    nonsense, or if none is left.
    """
    labels = [case.label for case in experiment.cases]
    fitting = [n for n in experiment.chosen if glob is None or fnmatchcase(labels[n], glob)]
    if not fitting:
        raise UserError(
            f"--cases {glob}: no case of {experiment.source} fits: {one_of(labels, glob)}"
        )
    chosen = fitting if shard is None else _share(units(experiment.cases, fitting), shard)
    return replace(experiment, chosen=tuple(chosen))


def _share(parts: list[list[int]], shard: str) -> list[int]:
    found = SHARD.fullmatch(shard)
    which, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= which <= of:
        raise UserError(f"--shard {shard}: allowed is I/N with I from 1 to N, such as 2/8")
    if of > len(parts):
        raise UserError(f"--shard {shard}: there are {len(parts)} cases; take fewer shards")
    return [number for part in parts[which - 1 :: of] for number in part]
