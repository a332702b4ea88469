"""Where runs end up: each case's mean |grad f|^2 over its last quarter of rounds.

    python bench/floors.py results/minibatch.h5

Cases that differ in the seed alone stand together: medians over the seeds, least and most.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpi_lowrank.record import Record
from mpi_lowrank.report.medians import grouped_cases

SHARE = 0.25
"""Of the rounds, at the end, that the mean is over."""


class Floor(NamedTuple):
    """A group of cases: bytes a worker sends in a round, and the floors of its seeds."""

    label: str
    bytes_a_round: float
    values: np.ndarray


def floors(record: Record) -> Iterator[Floor]:
    """One a group, in the record's order; of what diverged the floor is infinite."""
    for (_, label), cases in grouped_cases([record]).items():
        last = cases[0]
        sent = last["uplink_bytes"][-1] / max(last["round"][-1], 1)
        yield Floor(label, float(sent), np.array([_floor(case) for case in cases]))


def _floor(case) -> float:
    rounds = case["round"]
    value = np.mean(case["grad_norm_sq"][rounds >= (1 - SHARE) * rounds[-1]])
    return float(value) if np.isfinite(value) else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    for path in parser.parse_args().records:
        print(f"{'case':<72}{'B/round':>9}{'floor':>10}{'least-most':>20}")
        for label, sent, values in floors(Record(path)):
            ends = f"{values.min():.2g}-{values.max():.2g}"
            print(f"{label:<72}{sent:>9.4g}{np.median(values):>10.2g}{ends:>20}")


if __name__ == "__main__":
    main()
