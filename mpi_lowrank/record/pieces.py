"""A record that grows: behind its sealed image, pieces that each say what has changed since.

A piece holds the 8-byte words in which a new image differs from the one before, packed by zlib, so
that a row costs about its own bytes however long the record is. Whoever is killed while he appends
leaves a piece without an end, which counts for nothing; a piece that has its length and not its
checksum is damage. Readers of HDF5 look at the image alone, and see the record as it was then.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from mpi_lowrank.record.seal import LENGTH, seal

PIECE = b"\nmpi-lowrank piece "
_HEADER = struct.Struct(f"<{len(PIECE)}sQQI")
_CHECKED = struct.Struct("<I")
BEHIND = _HEADER.size + _CHECKED.size
"""Bytes of a piece before what has changed: mark, lengths, checksum of that, checksum of these."""

_WORD = 8
MOST = 4
"""Pieces are no longer in all than so many times the image: else it is written anew."""


class Pieces:
    """The file of a sealed `image` to which this process appends, and nobody else."""

    def __init__(self, path: Path, image: bytes):
        self._path, self._whole, self._end = path, len(image) + LENGTH, len(image) + LENGTH
        self._words = _words(image, len(image))
        self._last = seal(image)
        self._checksum = zlib.crc32(self._last)

    def append(self, image: bytes) -> bool:
        """Append what `image` changes. False where it is time, or needed, to write it whole.

        Raises OSError where the file cannot be written; the next piece takes this one's place.
        """
        new = _words(image, max(len(image), self._words.nbytes))
        old = np.pad(self._words, (0, len(new) - len(self._words)))
        piece, checksum = _piece(old, new, len(image), self._checksum)
        if self._end + len(piece) > (1 + MOST) * self._whole:
            return False
        try:
            with self._path.open("r+b") as file:
                file.seek(self._end - LENGTH)
                if file.read(LENGTH) != self._last:
                    return False  # another's file
                file.truncate(self._end)
                file.write(piece)
        except FileNotFoundError:
            return False
        self._end, self._checksum, self._last = self._end + len(piece), checksum, piece[-LENGTH:]
        self._words = new
        return True


def grown(file: BinaryIO, limit: int) -> bytes | None:
    """The image that the pieces in the file make; None if it has none.

    Raises ValueError where they are damaged, or make more than `limit` bytes.
    """
    size = _image_size(file)
    file.seek(size)
    line, rest = file.read(LENGTH), file.read()
    if not rest:
        return None
    file.seek(0)
    image = file.read(size)
    if line != seal(image):
        raise ValueError("its bytes are not those of its checksum")
    pieces = list(_pieces(rest, zlib.crc32(line)))
    longest = max((piece.size for piece in pieces), default=size)
    if longest > limit:
        raise ValueError("its pieces make an impossible length")
    words = _words(image, max(size, longest))
    for piece in pieces:
        _apply(piece, words)
        size = piece.size
    return words.tobytes()[:size]


def _image_size(file: BinaryIO) -> int:
    """The bytes of HDF5's part, as its superblock tells; all bytes where there is none."""
    file.seek(0)
    head = file.read(48)
    if head[:9] == b"\x89HDF\r\n\x1a\n\0":
        return int.from_bytes(head[40:], "little")
    return file.seek(0, os.SEEK_END)


class _Piece(NamedTuple):
    size: int
    """Bytes of the image that it makes."""
    changes: bytes


def _piece(old: np.ndarray, new: np.ndarray, size: int, before: int) -> tuple[bytes, int]:
    """The piece that makes `new` of `old`, and its checksum; `before`: that of the piece before."""
    changed = old != new
    edges = np.flatnonzero(np.diff(changed, prepend=False, append=False))
    runs = np.diff(edges, prepend=0).astype("<i8")
    told = struct.pack("<Q", len(runs)) + runs.tobytes() + new[changed].tobytes()
    changes = zlib.compress(told, 1)
    checksum = zlib.crc32(changes, before)
    header = _HEADER.pack(PIECE, len(changes), size, checksum)
    return header + _CHECKED.pack(zlib.crc32(header)) + changes, checksum


def _pieces(rest: bytes, before: int) -> Iterator[_Piece]:
    """The whole pieces; the last one may lack its end."""
    at = 0
    while at + BEHIND <= len(rest):
        header = rest[at : at + _HEADER.size]
        mark, length, size, checksum = _HEADER.unpack(header)
        (checked,) = _CHECKED.unpack_from(rest, at + _HEADER.size)
        if mark != PIECE or checked != zlib.crc32(header):
            raise ValueError("what is behind its image is no piece")
        at += BEHIND
        changes = rest[at : at + length]
        if len(changes) < length:
            return
        if zlib.crc32(changes, before) != checksum:
            raise ValueError("the bytes of a piece are not those of its checksum")
        yield _Piece(size, changes)
        before, at = checksum, at + length


def _apply(piece: _Piece, words: np.ndarray) -> None:
    most = _WORD * (2 * len(words) + 3)
    told = zlib.decompressobj().decompress(piece.changes, most)
    count = _WORD + _WORD * struct.unpack_from("<Q", told)[0]
    begins, ends = np.cumsum(np.frombuffer(told[_WORD:count], "<i8")).reshape(-1, 2).T
    lengths = ends - begins
    if len(begins) and (lengths.min() < 1 or begins.min() < 0 or ends.max() > len(words)):
        raise ValueError("a piece changes what its image has not")
    places = np.repeat(ends - np.cumsum(lengths), lengths) + np.arange(lengths.sum())
    words[places] = np.frombuffer(told[count:], "<u8")


def _words(image: bytes, size: int) -> np.ndarray:
    """The image, with zeros up to `size` bytes, as words."""
    words = np.zeros(-(-size // _WORD), "<u8")
    words.view(np.uint8)[: len(image)] = np.frombuffer(image, np.uint8)
    return words
