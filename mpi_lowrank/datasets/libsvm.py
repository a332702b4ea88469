"""LIBSVM's text format: a line per row, `LABEL INDEX:VALUE ...`, indices from 1 and increasing."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy.sparse import csr_array

from mpi_lowrank.datasets.base import Dataset
from mpi_lowrank.errors import UserError
from mpi_lowrank.machine import memory

OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
"""How a compressed file is opened, by its suffix."""

PARSED = 16
"""Bytes of memory that a byte of text takes while it is parsed (measured on w8a)."""

DENSEST = 100
"""The most bytes of text per byte of a compressed file: mushrooms has 55, others have fewer."""

UNSUSPECTED = 64 * 2**20
"""Bytes of text that any compressed file may have, however small it is."""

# Nothing can be read in two ways, so that a long line that is wrong at its end is refused at once.
# Possessive quantifiers would say so, but before Python 3.11.5 they match what they should not.
NUMBER = rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
LABEL, PAIR = re.compile(NUMBER), re.compile(rb"\d+:" + NUMBER)
LINE = re.compile(rb"\s*%s(?:\s+%s)*\s*" % (NUMBER, PAIR.pattern))


def read_text(path: Path, place: str | None = None) -> bytes:
    """The file's text, decompressed by its suffix.

    Raises UserError, which names `place` instead of the path if given, if it cannot be read, or if
    its text is longer than memory allows, or suspiciously long for a compressed file of that size.
    """
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _read(stream, *_limit(size, path.suffix in OPENERS))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{place or path}: cannot be read: {reason}") from error
    except _TooLongError as error:
        raise UserError(f"{place or path}: {error}") from error


class _TooLongError(Exception):
    def __init__(self, most: int, reason: str):
        super().__init__(f"has more than {most >> 20} MB of text; expected at most {reason}")


def _limit(size: int, compressed: bool) -> tuple[int, str]:
    """The bytes of text that a file of `size` bytes may have, and where that number comes from.

    Raises _TooLongError if the file itself, uncompressed, has more.
    """
    there = min(memory.there(), memory.allowed())
    limit = there // PARSED, f"a {PARSED}th of the memory there is, where its rows are all kept"
    if compressed:
        meant = max(UNSUSPECTED, DENSEST * size)
        dense = f"{DENSEST} times the compressed file, or {UNSUSPECTED >> 20} MB"
        return min(limit, (meant, dense))
    if size > limit[0]:
        raise _TooLongError(*limit)
    return limit


def read_range(path: Path, begin: int, end: int, place: str, room: int) -> bytes:
    """The bytes from `begin` to before `end` of a file that is not compressed.

    Raises UserError, which names the `place`, if they cannot be read, or take more to parse than
    the `room`, in bytes.
    """
    most = room // PARSED
    if end - begin > most:
        told = _TooLongError(most, f"a {PARSED}th of the memory that each rank has, per rank")
        raise UserError(f"{place}: {told}")
    try:
        with open(path, "rb") as stream:
            stream.seek(begin)
            return stream.read(end - begin)
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from error


def _read(stream: BinaryIO, most: int, reason: str) -> bytes:
    pieces, length = [], 0
    while piece := stream.read(2**20):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            raise _TooLongError(most, reason)
    return b"".join(pieces)


def checksum(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def dataset(name: str, text: bytes, place: str, width: int | None = None) -> Dataset:
    """The text's rows under `name`; errors name the `place` where it lies. See `parse`."""
    features, labels = parse(text, place, width)
    return Dataset(name, features, signs(labels, place), checksum(text))


def parse(text: bytes, name: str, width: int | None = None) -> tuple[csr_array, np.ndarray]:
    """Rows (N, d) as CSR, boolean where every value is 1, and the labels (N,) float64.

    d is `width`, or the largest index. Raises UserError with `name` and the line for a malformed
    line, an index of 0, beyond the width or not above the one before it, and a value that is not
    finite.
    """
    lines = lines_of(text)
    check_form(lines, name)
    numbers = Numbers.of(lines)
    check_size(len(lines), len(numbers.indices), name, width)
    numbers.check_pairs(name, width)
    numbers.check_labels(name)
    ones = bool((numbers.values == 1).all())
    return numbers.rows(width or int(numbers.indices.max()), ones), numbers.labels


def lines_of(text: bytes) -> list[bytes]:
    """The lines; blank ones at the end are none."""
    return text.rstrip().split(b"\n") if text.strip() else []


def check_size(lines: int, pairs: int, name: str, width: int | None) -> None:
    """Raise UserError for a text of no lines, or of none from which a width could be told."""
    if not lines:
        raise UserError(f"{name}: is empty; expected lines such as '-1 3:1 11:0.5'")
    if not width and not pairs:
        raise UserError(
            f"{name}: no line has an INDEX:VALUE; expected lines such as '-1 3:1 11:0.5'"
        )


def check_form(lines: list[bytes], name: str, before: int = 0) -> None:
    """Raise UserError for a malformed line; `before` lines stand in front of these."""
    for number, line in enumerate(lines, start=before + 1):
        if not LINE.fullmatch(line):
            shown = _misfit(line)[:40].decode(errors="replace")
            expected = "LABEL INDEX:VALUE ... with finite numbers and indices from 1"
            raise UserError(f"{name}, line {number}: {shown!r}; expected {expected}")


def _misfit(line: bytes) -> bytes:
    """The first part of the line that is not what belongs at its place."""
    label, *pairs = line.split() or [b""]
    if not LABEL.fullmatch(label):
        return label
    return next(pair for pair in pairs if not PAIR.fullmatch(pair))


@dataclass(frozen=True)
class Numbers:
    """What well-formed lines say, in float64: labels (N,), and indices and values of all pairs.

    Those of line i begin at starts[i], (N + 1,). `before` lines stand in front of these.
    """

    labels: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    before: int = 0

    @classmethod
    def of(cls, lines: list[bytes], before: int = 0) -> Numbers:
        """Read lines that `check_form` has passed."""
        pairs = np.array([line.count(b":") for line in lines], np.int64)
        # The numbers stand in a known order: label, index, value, ...
        numbers = np.array(b" ".join(lines).replace(b":", b" ").split(), dtype=np.float64)
        starts = np.concatenate([[0], np.cumsum(pairs)])
        at_label = 2 * starts[:-1] + np.arange(len(lines))
        rest = np.delete(numbers, at_label)
        return cls(numbers[at_label], rest[::2], rest[1::2], starts, before)

    def rows(self, width: int, ones: bool) -> csr_array:
        """The rows (N, width), boolean if they are `ones`."""
        columns = (self.indices - 1).astype(np.int32)
        data = np.ones(len(self.values), bool) if ones else self.values
        shape = len(self.labels), width
        return csr_array((data, columns, self.starts.astype(np.int32)), shape=shape)

    def check_pairs(self, name: str, width: int | None) -> None:
        """Raise UserError for the first index or value that is not allowed."""
        indices, values = self.indices, self.values
        lines = np.repeat(np.arange(len(self.labels)), np.diff(self.starts))
        decreasing = np.zeros(len(indices), bool)
        decreasing[1:] = (np.diff(indices) <= 0) & (np.diff(lines) == 0)
        limit = width or np.iinfo(np.int32).max
        problems = {
            "indices start at 1": indices < 1,
            f"indices end at {limit}": indices > limit,
            "indices must increase along a line": decreasing,
            "values must be finite": ~np.isfinite(values),
        }
        firsts = [(int(np.argmax(wrong)), what) for what, wrong in problems.items() if wrong.any()]
        if firsts:
            first, expected = min(firsts, key=lambda problem: problem[0])
            found = f"{shortest(indices[first])}:{shortest(values[first])}"
            line = self.before + lines[first] + 1
            raise UserError(f"{name}, line {line}: {found}; {expected}")

    def check_labels(self, name: str) -> None:
        """Raise UserError for the first label that is not finite."""
        if not np.isfinite(self.labels).all():
            first = int(np.argmin(np.isfinite(self.labels)))
            found, line = shortest(self.labels[first]), self.before + first + 1
            raise UserError(f"{name}, line {line}: label {found}; it must be finite")


def shortest(number: float) -> str:
    """The shortest text that is read back as this very number: 1, -0.5, 1e+300."""
    return repr(float(number)).removesuffix(".0")


def signs(labels: np.ndarray, name: str) -> np.ndarray:
    """Two labels to -1 (the smaller) and +1, int32. Raises UserError for another number of them."""
    classes = np.unique(labels)
    if len(classes) != 2:
        shown = ", ".join(map(shortest, classes[:5]))
        raise UserError(f"{name}: has {len(classes)} classes ({shown}); expected two")
    return np.where(labels == classes[1], 1, -1).astype(np.int32)
