"""LIBSVM's data sets: what they are, where they lie, how they are fetched."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mpi_lowrank.datasets import libsvm
from mpi_lowrank.datasets.base import Dataset, Source, datasets
from mpi_lowrank.errors import UserError

VARIABLE = "MPI_LOWRANK_DATA"
"""The environment variable that names the cache folder."""


def cache_folder() -> Path:
    """The folder of fetched files: VARIABLE's, else the user's cache."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    import pooch

    return Path(pooch.os_cache("mpi-lowrank"))


class LibsvmSet(Source):
    """A set that lies at `site` + `file`, and in the cache under its name, also compressed."""

    site = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
    file: str
    retries = 2  # of a failed download, one second later, then two, ...
    # Seconds to connect and between two pieces: many a compute node's packets are just dropped.
    timeout = (5, 30)

    def cached(self) -> Path | None:
        """Its file in the cache, if it is there."""
        paths = (cache_folder() / (self.name + suffix) for suffix in ("", *libsvm.OPENERS))
        return next((path for path in paths if path.is_file()), None)

    def text(self) -> Path | None:
        path = self.cached()
        return path if path and path.suffix not in libsvm.OPENERS else None

    def where(self) -> str:
        return "cached" if self.cached() else "not fetched"

    def load(self) -> Dataset:
        path = self.cached()
        if path is None:
            raise UserError(
                f"data set {self.name!r}: not in {cache_folder()}; run mpi-lowrank data fetch "
                f"{self.name} where there is internet, or name its folder in {VARIABLE}"
            )
        return libsvm.dataset(self.name, self._verified(path), str(path), self.features)

    def fetch(self) -> Path:
        """Its verified file in the cache, downloaded if it is not there.

        Raises UserError, and leaves nothing behind, if it cannot be had or is another one.
        """
        path = self.cached()
        if path is None:
            return self._download(cache_folder())
        self._verified(path)
        return path

    def _download(self, folder: Path) -> Path:
        url = self.site + self.file
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Only what was verified gets its name in the cache; the rest goes with this folder.
            with TemporaryDirectory(dir=folder) as unverified:
                path = self._download_to(unverified)
                self._verified(path, url)
                path.chmod(0o644)  # a cache may be shared
                return path.replace(folder / path.name)
        except OSError as error:  # requests' errors as well
            raise UserError(
                f"{url}: cannot be downloaded into {folder} ({_reason(error)}); download it on a "
                f"machine that can and put it there, or into a folder that {VARIABLE} names"
            ) from error

    def _download_to(self, folder: str) -> Path:
        import pooch

        pooch.get_logger().setLevel("WARNING")
        # No checksum here: what is known is that of the decompressed file.
        registry = {self.file: None}
        site = pooch.create(folder, self.site, registry=registry, retry_if_failed=self.retries)
        bar = sys.stderr.isatty()
        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=self.timeout)
        return Path(site.fetch(self.file, downloader=downloader))

    def _verified(self, path: Path, place: str | None = None) -> bytes:
        """The file's text; `place` names it in the error if it is another one."""
        text = libsvm.read_text(path, place)
        self.verify(libsvm.checksum(text), place or str(path), cached=not place)
        return text


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return error.strerror or type(error).__name__


@datasets.register("phishing")
class Phishing(LibsvmSet):
    file, rows, features = "phishing", 11055, 68
    licence = "UCI Phishing Websites, CC BY 4.0"
    # Published in one place only, unlike the others.
    sha256 = "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a"


@datasets.register("a9a")
class A9a(LibsvmSet):
    file, rows, features = "a9a", 32561, 123
    licence = "UCI Adult, CC BY 4.0"
    sha256 = "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906"


@datasets.register("a9a.t")
class A9aTest(LibsvmSet):
    file, rows, features = "a9a.t", 16281, 123
    licence = "UCI Adult, CC BY 4.0"
    sha256 = "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9"


@datasets.register("w8a")
class W8a(LibsvmSet):
    file, rows, features = "w8a", 49749, 300
    licence = "J. Platt's web pages, LIBSVM"
    sha256 = "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2"


@datasets.register("ijcnn1")
class Ijcnn1(LibsvmSet):
    file, rows, features = "ijcnn1.bz2", 49990, 22
    licence = "IJCNN 2001 challenge, LIBSVM"
    sha256 = "16506cad788cf7c9607454150ed1994788204bac2ff4c9cb3b320036b6950d3f"
