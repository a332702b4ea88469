"""The known LIBSVM sets: what they are, where they lie, how they are fetched."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpi_lowrank.datasets import libsvm, mushrooms
from mpi_lowrank.errors import UserError

SITE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"

VARIABLE = "MPI_LOWRANK_DATA"
"""The environment variable that names the cache folder."""


class Known(NamedTuple):
    """A set's file at SITE, its size, and the sha256 of the decompressed file."""

    file: str
    rows: int
    features: int
    sha256: str
    source: str


KNOWN = {
    "mushrooms": Known(
        "mushrooms", 8124, 112, mushrooms.SHA256, "UCI Mushroom, CC BY 4.0, doi 10.24432/C5959T"
    ),
    "phishing": Known(
        "phishing",
        11055,
        68,
        "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a",
        "UCI Phishing Websites, CC BY 4.0",
    ),
    "a9a": Known(
        "a9a",
        32561,
        123,
        "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
        "UCI Adult, CC BY 4.0",
    ),
    "a9a.t": Known(
        "a9a.t",
        16281,
        123,
        "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9",
        "UCI Adult, CC BY 4.0",
    ),
    "w8a": Known(
        "w8a",
        49749,
        300,
        "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2",
        "J. Platt's web pages, LIBSVM",
    ),
    "ijcnn1": Known(
        "ijcnn1.bz2",
        49990,
        22,
        "16506cad788cf7c9607454150ed1994788204bac2ff4c9cb3b320036b6950d3f",
        "IJCNN 2001 challenge, LIBSVM",
    ),
}


def cache_folder() -> Path:
    """The folder of fetched files: VARIABLE's, else the user's cache."""
    import pooch

    return Path(os.environ.get(VARIABLE) or pooch.os_cache("mpi-lowrank"))


def cached(name: str) -> Path | None:
    """The fetched file of a known set, plain or compressed, if it is there."""
    candidates = (cache_folder() / (name + suffix) for suffix in ("", *libsvm.OPENERS))
    return next((path for path in candidates if path.is_file()), None)


def listing() -> list[dict]:
    """A row a known set: name, rows, features, where it is, licence."""
    return [
        {
            "name": name,
            "rows": known.rows,
            "features": known.features,
            "where": "bundled" if name == "mushrooms" else "cached" if cached(name) else "to fetch",
            "licence": known.source,
        }
        for name, known in KNOWN.items()
    ]


def known_set(name: str) -> Known:
    """The entry of that name, or a UserError that lists all."""
    if name not in KNOWN:
        raise UserError(f"data set {name!r}: not known; allowed is {', '.join(KNOWN)}, or a file")
    return KNOWN[name]


def fetch(name: str, base_url: str = SITE) -> Path:
    """Download a known set into the cache, unless it is there; the path of the verified file.

    Raises UserError if the site cannot be reached or the decompressed file is not the known one,
    which is then removed.
    """
    known = known_set(name)
    found = cached(name)
    if found is None:
        found = _download(known, base_url)
    verify(found, known)
    return found


def _download(known: Known, base_url: str) -> Path:
    import pooch
    import requests

    folder = cache_folder()
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(
            base_url + known.file,
            known_hash=None,  # what is known is the checksum of the decompressed file
            fname=known.file,
            path=folder,
            downloader=downloader,
        )
    except (OSError, requests.RequestException) as error:
        raise UserError(
            f"{base_url + known.file}: cannot be downloaded into {folder} ({_brief(error)}); on a "
            f"machine with internet download it, put it into a folder and name that in {VARIABLE}"
        ) from error
    try:
        verify(Path(path), known)
    except UserError:
        Path(path).unlink()
        raise
    return Path(path)


def verify(path: Path, known: Known) -> bytes:
    """The file's text, if it is the known one. Raises UserError otherwise."""
    text = libsvm.read_text(path)
    found = libsvm.checksum(text)
    if found != known.sha256:
        raise UserError(f"{path}: sha256 of its text is {found}; expected {known.sha256}")
    return text


def _brief(error: Exception) -> str:
    return str(getattr(error, "reason", None) or type(error).__name__)


def check(path: Path) -> dict:
    """What is in a LIBSVM file: rows, features, nonzeros, classes, checksum, the set it is."""
    text = libsvm.read_text(Path(path))
    features, labels = libsvm.parse(text, str(path))
    found = libsvm.checksum(text)
    classes, counts = np.unique(labels, return_counts=True)
    return {
        "rows": features.shape[0],
        "features": features.shape[1],
        "nonzeros": features.nnz,
        "classes": {f"{c:g}": int(n) for c, n in zip(classes, counts, strict=True)},
        "sha256": found,
        "known as": next((name for name, known in KNOWN.items() if known.sha256 == found), None),
    }
