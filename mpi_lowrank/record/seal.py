"""The line behind a record: a checksum of all bytes before it, which HDF5 does not look at."""

from os import SEEK_END
from typing import BinaryIO
from zlib import crc32

MARK = b"\nmpi-lowrank crc32 "
LENGTH = len(MARK) + 8 + 1
BLOCK = 1 << 20


def seal(image: bytes) -> bytes:
    """The line that goes behind `image`."""
    return _line(crc32(image))


def is_broken(file: BinaryIO) -> bool:
    """Whether `file` has a seal that does not fit; records of earlier versions have none."""
    size = file.seek(0, SEEK_END) - LENGTH
    if size < 0:
        return False
    file.seek(size)
    line = file.read(LENGTH)  # a writer may append meanwhile
    return line.startswith(MARK) and line != _line(_checksum(file, size))


def _checksum(file: BinaryIO, size: int) -> int:
    checksum = 0
    file.seek(0)
    while size > 0 and (block := file.read(min(size, BLOCK))):
        checksum = crc32(block, checksum)
        size -= len(block)
    return checksum


def _line(checksum: int) -> bytes:
    return MARK + b"%08x\n" % checksum
