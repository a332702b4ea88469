"""The UCI handwritten digits, carried inside the package.

`python -m mpi_lowrank.datasets.digits IMAGES.csv` makes the carried file anew from UCI's text (a
line an image: 64 counts from 0 to 16, row by row, then the digit).
"""

import sys
from pathlib import Path

import numpy as np

from mpi_lowrank.datasets.base import Dataset, Source, datasets

FILE = Path(__file__).with_name("digits.npz")
FULL = 16
"""The count of a full pixel."""


@datasets.register("digits")
class Digits(Source):
    """Its sha256 is that of UCI's text, which the carried numbers make.

    Counts are carried as they are and scaled to [0, 1] here, exactly, since 16 is a power of two: a
    problem need not know whose rows it gets.
    """

    rows, features = 1797, 64
    licence = "UCI Optical Digits, CC BY 4.0, doi 10.24432/C50P49"
    sha256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"

    def where(self) -> str:
        return "bundled"

    def fetch(self) -> Path:
        return FILE

    def load(self) -> Dataset:
        counts, labels = counts_and_labels()
        return Dataset(self.name, counts / FULL, labels, self.sha256)


def counts_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """The images, (1797, 64) uint8 from 0 to 16, and their digits, (1797,) int8 from 0 to 9."""
    with np.load(FILE) as carried:
        return carried["counts"], carried["labels"]


def build(source: Path) -> None:
    """Write the carried file from UCI's text in `source`. Raises ValueError if it is another."""
    table = np.loadtxt(source, delimiter=",", dtype=np.int64)
    counts, labels = table[:, :-1], table[:, -1]
    if counts.shape[1] != Digits.features or not _within(counts, FULL) or not _within(labels, 9):
        raise ValueError(f"{source}: expected 64 counts from 0 to 16 a line, then a digit")
    np.savez_compressed(FILE, counts=counts.astype(np.uint8), labels=labels.astype(np.int8))


def _within(numbers: np.ndarray, last: int) -> bool:
    return numbers.min() >= 0 and numbers.max() <= last


if __name__ == "__main__":
    build(Path(sys.argv[1]))
