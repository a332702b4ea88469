"""Messages that no encoder writes, for every compressor that has messages."""

from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from hostile.texts import damaged
from mpi_lowrank.certificate import default_specs, drive, maker
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.compressors.wire.messages import LENGTH
from mpi_lowrank.config.options import read_spec

D, WORKERS, TRUE = 112, 4, 8


def make(random: Random) -> bytes:
    """A specification, a line end, and a message."""
    spec = random.choice(specs())
    message, what = random.choice(_true(spec)), random.random()
    if what < 0.1:
        message = random.randbytes(len(message))
    elif what < 0.2:
        message = bytes([random.choice([0, 1, 0x7F, 0x80, 0xFF])]) * len(message)
    elif what < 0.3 and _decoder(spec).variable:
        message = _lying(random, message)
    for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
        message = damaged(random, message)
    if random.random() < 0.9:  # else its size tells at once
        message = message[: _decoder(spec).nbytes].ljust(_decoder(spec).nbytes, b"\0")
    return spec.encode() + b"\n" + message


def use(data: bytes, folder: Path) -> None:
    """Decode it; what comes out is finite. Raises MessageError."""
    spec, _, content = data.partition(b"\n")
    decoder, message = _decoder(spec.decode()), np.frombuffer(bytearray(content), np.uint8)[None]
    out, total = np.empty((1, D)), np.empty(D)
    with np.errstate(all="ignore"):
        decoder.unpack(message, out)
        decoder.decode_sum(message, np.ones(1), total)
    if not np.isfinite(out).all() or not np.isfinite(total).all():
        raise AssertionError("a message was decoded to what is not finite")


@cache
def specs() -> list[str]:
    """Every compressor that has messages, with each of its examples, in float64 as well."""
    found = [
        spec for spec in default_specs() if not maker(read_spec(spec), spec)((D,), WORKERS).shared
    ]
    return list(dict.fromkeys([*found, *map(in_float64, found)]))


def in_float64(spec: str) -> str:
    """The same compressor with its numbers sent as float64."""
    stages = (stage.partition(":") for stage in spec.split("+"))
    return "+".join(
        f"{name}:{options}{',' * bool(options)}wire=float64"
        if "wire" in compressors[name].options and "wire" not in options
        else f"{name}:{options}".rstrip(":")
        for name, _, options in stages
    )


@cache
def _decoder(spec: str) -> Compressor:
    compressor = maker(read_spec(spec), spec)((D,), WORKERS)
    drive.prepare(compressor, 1)
    drive.begin(compressor, 1, 0, 0, 0)
    return compressor


@cache
def _true(spec: str) -> list[bytes]:
    """Messages that it writes itself: of Gaussian numbers, large and small, of zeros, of one."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((TRUE, D)) * np.logspace(-6, 3, TRUE)[:, None]
    rows[0], rows[1, 1:] = 0, 0
    return [drive.pack(_decoder(spec), row[None]).tobytes() for row in rows]


def _lying(random: Random, message: bytes) -> bytes:
    """With another length at its start."""
    claimed = random.choice([0, 1, 3, 4, 5, len(message), len(message) + 1, 2**31, 2**32 - 1])
    return np.array([claimed], LENGTH).tobytes() + message[LENGTH.itemsize :]
