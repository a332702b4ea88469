"""The UCI Mushroom records in LIBSVM's encoding, carried inside the package.

`python -m mpi_lowrank.datasets.mushrooms RECORDS.csv` makes the carried file anew from the UCI
records (a header line, then `class` and the 22 attributes; the constant veil-type may be missing).
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets.base import Dataset, Source, datasets

FILE = Path(__file__).with_name("mushrooms.npz")

ATTRIBUTES = {
    "cap-shape": "cbfksx",
    "cap-surface": "ysgf",
    "cap-color": "cbegnpruwy",
    "bruises": "tf",
    "odor": "acfmlnpsy",
    "gill-attachment": "af",
    "gill-spacing": "cw",
    "gill-size": "bn",
    "gill-color": "beghkonpruwy",
    "stalk-shape": "et",
    "stalk-surface-above-ring": "yskf",
    "stalk-surface-below-ring": "yskf",
    "stalk-color-above-ring": "cbegonpwy",
    "stalk-color-below-ring": "cbegonpwy",
    "veil-type": "p",
    "veil-color": "yown",
    "ring-number": "ton",
    "ring-type": "pnelf",
    "spore-print-color": "bhkonruwy",
    "population": "acnsvy",
    "habitat": "dgmlpuw",
}
"""Each attribute's values in the order of LIBSVM's indices, which leave out stalk-root."""


@datasets.register("mushrooms")
class Mushrooms(Source):
    """Its sha256 is that of LIBSVM's file, which the carried numbers make."""

    rows, features = 8124, 112
    licence = "UCI Mushroom, CC BY 4.0, doi 10.24432/C5959T"
    sha256 = "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538"

    def where(self) -> str:
        return "bundled"

    def fetch(self) -> Path:
        return FILE

    def load(self) -> Dataset:
        return Dataset(self.name, *features_and_labels(), self.sha256)


def features_and_labels() -> tuple[csr_array, np.ndarray]:
    """The rows (8124, 112) as a boolean CSR matrix; labels -1 poisonous, +1 edible."""
    with np.load(FILE) as carried:
        columns, labels = carried["columns"], carried["labels"]
    rows, kept = columns.shape
    starts = np.arange(0, columns.size + 1, kept, dtype=np.int32)
    ones = np.ones(columns.size, bool)
    width = sum(map(len, ATTRIBUTES.values()))
    return csr_array((ones, columns.ravel().astype(np.int32), starts), shape=(rows, width)), labels


def encode(records: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """UCI records to column numbers (rows, 21) uint8 and labels (rows,) int8, -1 poisonous.

    Raises KeyError for an attribute or a value that is missing or unknown.
    """
    numbers: dict[tuple[str, str], int] = {}  # of the columns, by attribute and value
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            numbers[attribute, value] = len(numbers)
    columns = [
        [numbers[attribute, record[attribute]] for attribute in ATTRIBUTES]
        for record in ({"veil-type": "p"} | record for record in records)
    ]
    labels = [{"p": -1, "e": 1}[record["class"]] for record in records]
    return np.array(columns, np.uint8), np.array(labels, np.int8)


def build(source: Path) -> None:
    """Write the carried file from the UCI records in `source`."""
    with open(source, newline="") as lines:
        columns, labels = encode(list(csv.DictReader(lines)))
    np.savez_compressed(FILE, columns=columns, labels=labels)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
