"""A LIBSVM file read by several ranks: each one parses the lines of its own range of bytes.

No rank holds the whole file, its text or its rows; rank 0 holds all labels. What is found, and what
is refused, is what one rank alone would find.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from mpi4py import MPI

from mpi_lowrank.comm import parcels, world
from mpi_lowrank.datasets import Dataset, libsvm, text_of, width_of
from mpi_lowrank.errors import UserError

Result = TypeVar("Result")

PIECE = 2**20
"""Bytes of text that are worth a rank of their own."""

BLOCK = 2**20
"""Bytes that are read at once where nothing is kept."""


def read(comm: MPI.Intracomm, name: str, room: int, told: str = "") -> Dataset | None:
    """Collective: the rows of a data set that this rank has read, see `Dataset.held`.

    None on all ranks where rank 0 is to read it alone: it is no plain LIBSVM file, a short one, or
    not the same for all ranks. `room`: bytes of memory per rank. Raises AgreedError, behind what is
    `told` first, for what `load` refuses.
    """
    path, cuts = parcels.from_root(comm, _cuts(name, comm.size) if comm.rank == 0 else None)
    alike = bool(cuts) and _size(path) == cuts[-1]
    if not all(parcels.from_all(comm, alike)):
        return None
    place = name if Path(name) == Path(path) else path
    return _Reading(comm, Path(path), cuts, place, told).dataset(name, room)


def _cuts(name: str, ranks: int) -> tuple[str, list[int]]:
    """The file, and where each rank's lines begin, and the last one's end; none for one reader."""
    path = text_of(name)
    try:
        size = os.path.getsize(path) if path else 0
        readers = min(ranks, size // PIECE)
        if readers < 2:
            return "", []
        with open(str(path), "rb") as stream:
            starts = [_line_start(stream, size * r // readers, size) for r in range(readers)]
    except OSError:  # `load` will tell
        return "", []
    return str(path), starts + [size] * (ranks - readers + 1)


def _line_start(stream, at: int, size: int) -> int:
    """The first place from `at` on where a line begins."""
    if at == 0:
        return 0
    at -= 1
    stream.seek(at)
    while block := stream.read(BLOCK):
        if (found := block.find(b"\n")) >= 0:
            return int(at + found + 1)
        at += len(block)
    return size


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


class _Reading:
    """One file, and this rank's piece of it."""

    def __init__(self, comm: MPI.Intracomm, path: Path, cuts: list[int], place: str, told: str):
        self.comm, self.path, self.cuts = comm, path, cuts
        self.place, self.told = place, told

    def dataset(self, name: str, room: int) -> Dataset:
        sha256, width, numbers = self._numbers(name, room)
        told = parcels.from_all(self.comm, [len(numbers.labels), len(numbers.indices)])
        lines, pairs = np.sum(told, axis=0).tolist()
        self._agree(lambda: libsvm.check_size(lines, pairs, self.place, width))
        self._agree(lambda: numbers.check_pairs(self.place, width))
        self._agree(lambda: numbers.check_labels(self.place))
        labels = parcels.gather_rows(self.comm, numbers.labels)
        classes = self._agree(lambda: self._signs(labels))
        mine = [int(numbers.indices.max(initial=0)), bool((numbers.values == 1).all())]
        largest, ones = zip(*parcels.from_all(self.comm, mine), strict=True)
        features = numbers.rows(width or max(largest), all(ones))
        first = min(numbers.before, lines)  # blank lines at the end are counted, but are no rows
        held = range(first, first + len(numbers.labels))
        return Dataset(name, features, classes, sha256, held)

    def _numbers(self, name, room):
        """The text's checksum, its known width, and what this rank's lines say."""
        begin, end = self.cuts[self.comm.rank : self.comm.rank + 2]
        text = self._agree(lambda: libsvm.read_range(self.path, begin, end, self.place, room))
        mine = [text.count(b"\n"), not text.strip(), hashlib.sha256(text).hexdigest()]
        counts, blank, digests = zip(*parcels.from_all(self.comm, mine), strict=True)
        before = sum(counts[: self.comm.rank])
        last = max((rank for rank, nothing in enumerate(blank) if not nothing), default=-1)

        def checked():
            known = self._known(name, digests) if self.comm.rank == 0 else None
            lines = _lines(text, self.comm.rank, last)
            libsvm.check_form(lines, self.place, before)
            return known, libsvm.Numbers.of(lines, before)

        known, numbers = self._agree(checked)
        sha256, width = parcels.from_root(self.comm, known)
        return sha256, width, numbers

    def _known(self, name, digests):
        """The whole text's checksum, and the width that is declared for it."""
        sha256 = self._checksum(digests)
        return sha256, width_of(name, sha256)

    def _checksum(self, digests):
        whole = hashlib.sha256()
        with open(self.path, "rb") as stream:
            for rank, digest in enumerate(digests):
                piece, left = hashlib.sha256(), self.cuts[rank + 1] - self.cuts[rank]
                while left and (block := stream.read(min(BLOCK, left))):
                    whole.update(block)
                    piece.update(block)
                    left -= len(block)
                if piece.hexdigest() != digest:
                    raise UserError(
                        f"{self.place}: rank {rank} reads another file there than rank 0; expected "
                        "one file, the same for all ranks"
                    )
        return whole.hexdigest()

    def _signs(self, labels):
        return libsvm.signs(labels, self.place) if self.comm.rank == 0 else labels.astype(np.int32)

    def _agree(self, step: Callable[[], Result]) -> Result:
        return world.agree(self.comm, lambda: self._named(step))

    def _named(self, step: Callable[[], Result]) -> Result:
        try:
            return step()
        except UserError as error:
            raise UserError(f"{self.told}{error}") from error


def _lines(text: bytes, rank: int, last: int) -> list[bytes]:
    """The lines of a rank's text; only blank ones are behind the rank `last`."""
    if rank < last:
        return text[:-1].split(b"\n") if text else []
    return libsvm.lines_of(text)
