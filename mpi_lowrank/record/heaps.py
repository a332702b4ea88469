"""HDF5 keeps texts in global heaps, and one kind of damage there makes it read for ever.

A heap is a row of objects, the last of which is its free space, with the index 0 and a size that
counts its own header. HDF5 (2.0 as well as 1.14) steps from object to object by their sizes, so an
object of size 0 keeps it in place for ever.
"""

import mmap
import struct
from collections.abc import Iterator

BEGINS = b"GCOL\x01\0\0\0"
"""How a heap begins: signature, version, reserved bytes."""

HEADER = struct.Struct("<HHIQ")
"""An object's header: index, references, reserved, size."""


def is_endless(image: mmap.mmap | bytes) -> bool:
    """Whether any heap of the file's image has free space of size 0."""
    return any(_ends_nowhere(image, at) for at in _heaps(image))


def _heaps(image: mmap.mmap | bytes) -> Iterator[int]:
    at = image.find(BEGINS)
    while at >= 0:
        yield at
        at = image.find(BEGINS, at + 1)


def _ends_nowhere(image: mmap.mmap | bytes, at: int) -> bool:
    begin, size = at + len(BEGINS), image[at + len(BEGINS) : at + HEADER.size]
    end = min(at + int.from_bytes(size, "little"), len(image))
    place = begin + len(size)
    while place + HEADER.size <= end:
        index, _, _, size_there = HEADER.unpack_from(image, place)
        if index == 0 and size_there == 0:
            return True
        place += size_there if index == 0 else HEADER.size + -(-size_there // 8) * 8
    return False
