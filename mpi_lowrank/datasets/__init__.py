"""Data sets: bundled ones, LIBSVM's, files of one's own, and how rows are dealt out."""

from pathlib import Path

import numpy as np

from mpi_lowrank.datasets import libsvm
from mpi_lowrank.datasets.base import Dataset, datasets
from mpi_lowrank.datasets.shards import Data, assign, shard_rows, split_test
from mpi_lowrank.errors import UserError, one_of, short

__all__ = [
    "Data",
    "Dataset",
    "assign",
    "check",
    "datasets",
    "fetch",
    "listing",
    "load",
    "shard_rows",
    "split_test",
    "text_of",
    "width_of",
]


def load(name: str) -> Dataset:
    """The known data set of that name, else the one in the LIBSVM file of that path.

    Raises UserError if there is none, it was not fetched, or the file is damaged.
    """
    if name in datasets.names():
        return datasets[name]().load()
    path = Path(name)
    if _is_missing(path):
        allowed = "a LIBSVM file's path or " + one_of(datasets.names(), name)
        raise UserError(f"data {short(name)!r}: no such file; allowed is {allowed}")
    text = libsvm.read_text(path)
    return libsvm.dataset(name, text, name, _width(_known_as(libsvm.checksum(text))))


def text_of(name: str) -> Path | None:
    """The LIBSVM file that `load` reads for that name, if it is there and not compressed."""
    if name in datasets.names():
        return datasets[name]().text()
    path = Path(name)
    try:
        return path if path.suffix not in libsvm.OPENERS and path.is_file() else None
    except (OSError, ValueError):
        return None


def width_of(name: str, sha256: str) -> int | None:
    """The number of features that is declared for a text of that checksum, if it is known.

    Raises UserError if it should be the known data set of that name and is not.
    """
    if name in datasets.names():
        source = datasets[name]()
        source.verify(sha256, str(source.text()))
    return _width(_known_as(sha256))


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with a NUL in it
        return True
    except OSError:
        return False  # there may be one, which whoever opens it is told about
    return False


def fetch(name: str) -> Path:
    """The file of a known data set, downloaded and verified if need be. Raises UserError."""
    return datasets[name]().fetch()


def listing() -> list[dict]:
    """A row per known data set: name, rows, features, where it is, licence."""
    sources = [datasets[name]() for name in datasets.names()]
    return [
        {
            "name": source.name,
            "rows": source.rows,
            "features": source.features,
            "where": source.where(),
            "licence": source.licence,
        }
        for source in sources
    ]


def check(path: str | Path) -> dict:
    """What is in a LIBSVM file: rows, features, nonzeros, classes, checksum, the set it is."""
    text = libsvm.read_text(Path(path))
    found = libsvm.checksum(text)
    known = _known_as(found)
    features, labels = libsvm.parse(text, str(path), _width(known))
    classes, counts = np.unique(labels, return_counts=True)
    return {
        "rows": features.shape[0],
        "features": features.shape[1],
        "nonzeros": features.nnz,
        "classes": {libsvm.shortest(c): int(n) for c, n in zip(classes, counts, strict=True)},
        "sha256": found,
        "known as": known,
    }


def _known_as(checksum: str) -> str | None:
    return next((name for name in datasets.names() if datasets[name].sha256 == checksum), None)


def _width(known: str | None) -> int | None:
    """The declared number of features: the last of them may be in no row."""
    return datasets[known].features if known else None
