"""The UCI Mushroom records in LIBSVM's encoding, carried inside the package.

`python -m mpi_lowrank.datasets.mushrooms RECORDS.csv` makes the carried file anew from the UCI
records (a header line, then `class` and the 22 attributes; the constant veil-type may be missing).
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

FILE = Path(__file__).with_name("mushrooms.npz")

SHA256 = "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538"
"""Of LIBSVM's file `mushrooms`."""

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
    """UCI records to column numbers (rows, 21) uint8 and labels (rows,) int8."""
    widths = [len(values) for values in ATTRIBUTES.values()]
    places = list(zip(np.cumsum([0, *widths[:-1]]), ATTRIBUTES.items(), strict=True))
    columns = [
        [first + values.index(record.get(name, values[0])) for first, (name, values) in places]
        for record in records
    ]
    labels = [-1 if record["class"] == "p" else 1 for record in records]
    return np.array(columns, np.uint8), np.array(labels, np.int8)


def build(source: Path) -> None:
    """Write the carried file from the UCI records in `source`."""
    with open(source, newline="") as lines:
        columns, labels = encode(list(csv.DictReader(lines)))
    np.savez_compressed(FILE, columns=columns, labels=labels)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
