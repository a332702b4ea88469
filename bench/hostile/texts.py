"""LIBSVM files: rows with a slip, rows of nonsense, and compressed ones that are damaged."""

import bz2
import gzip
import lzma
from pathlib import Path
from random import Random

from mpi_lowrank import datasets

PACKERS = {
    "": bytes,
    ".gz": lambda text: gzip.compress(text, 1, mtime=0),
    ".bz2": lambda text: bz2.compress(text, 1),
    ".xz": lambda text: lzma.compress(text, preset=0),
    ".txt": bytes,
}

ROWS = ["-1 1:1 3:0.5", "+1 2:1 4:-2e-3", "1 7:.5", "-1", "-1 1:1 2:1 3:1", "1 100:1", "2 1:1"]
TOKENS = ["0:1", "-1:1", "1:", ":1", "1:1:1", "1.5:1", "1e3:2", "x", "1:x", "1:nan", "1:inf"]
TOKENS += ["1:1e400", "1:1e-400", "2147483647:1", "2147483648:1", "9" * 400 + ":1", "#", "+", "1e"]
TOKENS += ["é", "\0", "\r", "\t", "\x1b[2J", "1:0x10", "1_0:1", "5:1 5:1", "1:--1", "qid:1", "²:1"]
TOKENS += ["1:" + "1" * 5000, "1:1" + "e" * 5000, " " * 5000, "\v", "\x85", "\udcff", "1:1e", "-"]


def make(random: Random) -> bytes:
    """A suffix, a line end, and what a file of that name holds."""
    lines = [_line(random) for _ in range(random.choice([0, 1, 2, 5, 40]))]
    text = random.choice(["\n", "\n", "\n", "\r\n", "\r", "\n\n"]).join(lines)
    packed = random.random() < 0.3
    suffix = random.choice(list(PACKERS)) if packed else ""
    data = PACKERS[suffix](text.encode("utf-8", "surrogateescape"))
    if random.random() < (0.7 if packed else 0.3):
        data = damaged(random, data)
    return suffix.encode() + b"\n" + data


def use(data: bytes, folder: Path) -> None:
    """What `mpi-lowrank data check` makes of it."""
    suffix, _, content = data.partition(b"\n")
    path = folder / f"some{suffix.decode()}"
    path.write_bytes(content)
    datasets.check(path)


def damaged(random: Random, data: bytes) -> bytes:
    """The bytes with one flipped bit, some overwritten, left out or put in twice, or cut off."""
    if not data:
        return data
    at, size = random.randrange(len(data)), random.choice([1, 4, 8, 100])
    what = random.randrange(5)
    if what == 0:
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
    if what == 1:
        return data[:at] + random.choice([_noise(random, size), b"\xff" * size]) + data[at + size :]
    if what == 2:
        return data[:at] + data[at + size :]
    if what == 3:
        return data[:at] + data[at : at + size] + data[at:]
    return data[:at]


def _noise(random: Random, size: int) -> bytes:
    return random.randbytes(size)


def _line(random: Random) -> str:
    words = random.choice(ROWS).split(" ")
    while random.random() < 0.15:
        words.insert(random.randrange(len(words) + 1), random.choice(TOKENS))
    return random.choice([" ", " ", " ", "  ", "\t"]).join(words)
