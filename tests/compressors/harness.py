"""Compressors driven by hand: messages out of rows and back, and samples of many draws."""

import numpy as np

from mpi_lowrank.certificate import drive
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.rounds.randomness import Purpose, Stream
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.components import make_operator


def make(spec, d=28, dtype="float64", local=4, total=None, workers=4):
    """The compressor of a line such as "topk:k=3+natural", ready for `local` rows."""
    block = d if isinstance(d, tuple) else (d,)
    compressor = make_operator(read_spec(spec), block, dtype, workers)
    compressor.remember(State(local, dtype))
    compressor.prepare(local, total or local)
    return compressor


def encode(compressor, x, round=0, seed=0, first=0):
    messages = np.zeros((len(x), compressor.nbytes), np.uint8)
    workers = range(first, first + len(x))
    generators = [Stream(seed, Purpose.COMPRESS, worker).at(round) for worker in workers]
    compressor.pack(x, messages, generators)
    return messages


def decode(compressor, messages, d, dtype="float64"):
    out = np.full((len(messages), d), np.nan, dtype)
    compressor.unpack(messages, out)
    return out


def compress(compressor, x, **key):
    return decode(compressor, encode(compressor, x, **key), x.shape[1], x.dtype)


def samples(spec, x, count, dtype="float64"):
    """What `count` workers that hold the same x (d,) are decoded to, (count, d)."""
    rows = np.repeat(np.asarray(x, dtype)[np.newaxis], count, axis=0)
    return compress(make(spec, len(x), dtype, local=count), rows)


def assert_mean(values, expected, sigmas=4.5):
    """The mean of independent values lies within a confidence bound of what is expected."""
    bound = sigmas * values.std() / np.sqrt(len(values)) + 1e-6 * abs(expected)  # of float32
    assert abs(values.mean() - expected) <= bound, (values.mean(), expected, bound)


def make_shared(spec, d=28, local=4, workers=4):
    """A shared compressor, ready for `local` rows."""
    compressor = make_operator(read_spec(spec), (d,), "float64", workers)
    drive.prepare(compressor, local)
    return compressor
