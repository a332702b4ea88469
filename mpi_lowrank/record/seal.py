"""The last line of a record: a checksum of all bytes before it, which HDF5 does not look at."""

from hashlib import blake2b
from os import SEEK_END
from typing import BinaryIO

MARK = b"\nmpi-lowrank blake2b "
LENGTH = len(MARK) + 32 + 1
BLOCK = 1 << 20


def seal(image: bytes) -> bytes:
    """The line that goes behind `image`."""
    return _line(blake2b(image, digest_size=16))


def is_broken(file: BinaryIO) -> bool:
    """Whether `file` has a seal, as records of earlier versions do not, and other bytes before."""
    size = file.seek(0, SEEK_END) - LENGTH
    if size < 0:
        return False
    file.seek(size)
    line = file.read()
    return line.startswith(MARK) and line != _line(_digest(file, size))


def _digest(file: BinaryIO, size: int) -> blake2b:
    digest = blake2b(digest_size=16)
    file.seek(0)
    while size > 0 and (block := file.read(min(size, BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest


def _line(digest: blake2b) -> bytes:
    return MARK + digest.hexdigest().encode() + b"\n"
