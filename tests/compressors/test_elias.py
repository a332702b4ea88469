"""Levels as Elias omega codes, by either kernels, against a decoder that goes bit by bit."""

import contextlib
from importlib import import_module
from itertools import chain

import numpy as np
import pytest
from harness import compress, decode, encode, make
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpi_lowrank.compressors import base
from mpi_lowrank.compressors.wire import elias
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError

PLACE = 20
"""Of the sign, above any level used here."""
RNG = np.random.default_rng(5)
X = RNG.standard_normal(40) * 10.0 ** RNG.uniform(-2, 2, 40)


@pytest.fixture(scope="module", params=["plain", "compiled"])
def kernels(request):
    if request.param == "compiled":
        pytest.importorskip("numba")
    return import_module(f"mpi_lowrank.kernels.{request.param}.elias")


def groups(value):
    """The groups of the value's code, each with its leading one, which is the bit in front."""
    if value == 1:
        return []
    shown = f"{value:b}"
    return [*groups(len(shown) - 1), shown]


def codes_of(values):
    """The bits of the values' codes, as text: leading ones side by side, then what is behind."""
    chains, told = [groups(value) for value in values], ""
    for step in range(8):
        told += "".join("1" if len(c) > step else "0" for c in chains)
        chains = [c for c in chains if len(c) > step]
        told += "".join(c[step][:0:-1] for c in chains)
    return told


def stream_of(row):
    """The bits of a row of signed levels."""
    places = [-1, *np.flatnonzero(row).tolist()]
    levels = row[row != 0].tolist()
    signs = "".join("1" if level < 0 else "0" for level in levels)
    return codes_of(np.diff(places).tolist()) + signs + codes_of(map(abs, levels))


def read_codes(bits, count, largest):
    values, alive = [1] * count, list(range(count))
    while alive:
        flags = [next(bits) for _ in alive]
        alive = [i for i, flag in zip(alive, flags, strict=True) if flag]
        assert all(values[i] < max(largest.bit_length(), 2) for i in alive)
        for i in alive:
            low = [next(bits) << b for b in range(values[i])]
            values[i] = 2 ** values[i] + sum(low)
    assert max(values, default=1) <= largest
    return values


def levels_of(stream, size, count, largest, d):
    """The row of codes that the first bytes of a stream say; None if they say none."""
    bits = iter(np.unpackbits(stream[:size]).tolist())
    row = [0] * d
    try:
        places = np.cumsum(read_codes(bits, count, d)) - 1
        signs = [next(bits) for _ in range(count)]
        for place, sign, level in zip(places, signs, read_codes(bits, count, largest), strict=True):
            row[place] = level + (sign << PLACE)
    except (AssertionError, IndexError, StopIteration):
        return None
    return row if len(list(bits)) < 8 else None


LEVELS = arrays(
    np.int64,
    st.tuples(st.integers(1, 4), st.integers(1, 40)),
    elements=st.sampled_from([0, 0, 0, 1, -1, 2, -3, 7, -8, 500, 2**15]),
)


def written(kernels, levels, largest=2**15):
    codes = (np.abs(levels) + ((levels < 0) << PLACE)).astype(np.uint32)
    longest = elias.LevelStreams(levels.shape[1], largest, PLACE).nbytes - elias.HEADER
    streams = np.zeros((len(codes), longest), np.uint8)
    counts, sizes = np.empty((2, len(codes)), np.int64)
    kernels.write(codes, PLACE, streams, counts, sizes)
    return codes, streams, counts, sizes


def read(kernels, streams, sizes, counts, largest, d):
    codes = np.full((len(streams), d), 77, np.uint32)
    faults = np.full(len(streams), 9, np.uint8)
    kernels.read(streams, sizes, counts, largest, PLACE, codes, faults)
    return codes, faults


def test_lengths_are_those_of_the_omega_code():
    lengths = elias.omega_lengths(np.array([1, 2, 3, 4, 7, 8, 15, 16, 31, 32]))
    assert lengths.tolist() == [1, 3, 3, 6, 6, 7, 7, 11, 11, 12]


@settings(max_examples=40, deadline=None)
@given(levels=LEVELS)
def test_streams_are_the_codes_bit_by_bit_and_are_read_back(kernels, levels):
    codes, streams, counts, sizes = written(kernels, levels)
    for row, stream, count, size in zip(levels, streams, counts, sizes, strict=True):
        expected = stream_of(row)
        gaps = np.diff(np.flatnonzero(row), prepend=-1)
        lengths = [elias.omega_lengths(v).sum() for v in (gaps, np.abs(row[row != 0]))]
        assert len(expected) == sum(lengths) + count and size == -(-len(expected) // 8)
        bits = np.unpackbits(stream[:size])[: len(expected)]
        assert "".join(map(str, bits)) == expected and count == np.count_nonzero(row)
    back, faults = read(kernels, streams, sizes, counts, 2**15, levels.shape[1])
    assert not faults.any()
    np.testing.assert_array_equal(back, codes)


@settings(max_examples=40, deadline=None)
@given(levels=LEVELS, seed=st.integers(0, 2**32))
def test_damaged_streams_are_refused_where_a_decoder_bit_by_bit_refuses(kernels, levels, seed):
    random, d = np.random.default_rng(seed), levels.shape[1]
    _, streams, counts, sizes = written(kernels, levels)
    for stream in streams:
        stream[random.integers(len(stream))] ^= random.integers(256)
    counts = np.clip(counts + random.integers(-1, 2, len(counts)), 0, d)
    sizes = np.clip(sizes + random.integers(-1, 2, len(counts)), 0, streams.shape[1])
    largest = int(random.choice([1, 8, 2**15]))
    codes, faults = read(kernels, streams, sizes, counts, largest, d)
    told = zip(streams, sizes, counts.tolist(), strict=True)
    for w, (stream, size, count) in enumerate(told):
        expected = levels_of(stream, size, count, largest, d)
        assert bool(faults[w]) == (expected is None)
        if not faults[w]:
            np.testing.assert_array_equal(codes[w], expected)
    if kernels.__name__.endswith("compiled.elias"):
        plain = import_module("mpi_lowrank.kernels.plain.elias")
        np.testing.assert_array_equal(faults, read(plain, streams, sizes, counts, largest, d)[1])


def test_a_chain_of_groups_that_no_value_has_is_refused_before_it_is_followed(kernels):
    streams = np.full((1, 2**14), 255, np.uint8)
    sizes, counts = np.array([[2**14], [1]])
    assert read(kernels, streams, sizes, counts, 4, 2**20)[1] == [kernels.ABOVE]


@settings(max_examples=40, deadline=None)
@given(
    x=arrays(np.float64, (2, 17), elements=st.sampled_from([0.0, 0.0, 1.0, -3.0, 0.01, 20.0])),
    s=st.integers(1, 40),
    bucket=st.sampled_from([0, 5, 16]),
)
def test_the_stream_says_what_the_fixed_width_codes_say(x, s, bucket):
    spec = f"qsgd:levels={s},bucket={bucket}"
    fixed = compress(make(spec, 17, local=2), x)
    stream = compress(make(spec + ",coding=elias", 17, local=2), x)
    np.testing.assert_array_equal(stream, fixed)


def test_streams_stay_below_three_point_two_bits_a_number_at_s_equal_to_the_root_of_d():
    d, rng = 4096, np.random.default_rng(0)
    vectors = np.array([rng.standard_normal(d), np.ones(d), rng.standard_normal(d) ** 3])
    compressor = make("qsgd:levels=64,coding=elias", d, local=3)
    lengths = encode(compressor, vectors)[:, :4].view(LENGTH)[:, 0].astype(int)
    header = 2 * LENGTH.itemsize
    assert (8 * (lengths - header) <= 3.2 * d + 32 + 7).all()
    assert 8 * (lengths[1] - header) == pytest.approx(12320, abs=100)  # 3.00 d + 32


def test_no_stream_is_longer_than_the_row_it_is_written_to():
    rng = np.random.default_rng(0)
    for s in (1, 4, 100):
        compressor = make(f"qsgd:levels={s},norm=linf,coding=elias", 50, local=1)
        for x in (np.ones(50), rng.standard_normal(50)):
            assert encode(compressor, x[np.newaxis])[:, :4].view(LENGTH)[0, 0] <= compressor.nbytes
    full = encode(compressor, np.ones((1, 50)))[:, :4].view(LENGTH)[0, 0]
    assert full == compressor.nbytes


def test_truncated_and_corrupted_streams_raise_or_stay_within_range():
    compressor = make("qsgd:levels=4,coding=elias", 40, local=1)
    message = encode(compressor, X[np.newaxis])
    length = int(message[0, :4].view(LENGTH)[0])
    for cut in chain(range(length), (compressor.nbytes + 1, 2**32 - 1)):
        short = message.copy()
        short[0, :4].view(LENGTH)[0] = cut
        with pytest.raises(MessageError):
            compressor.decode(short, np.empty((1, 40)))
    rng, norm = np.random.default_rng(0), np.abs(message[0, 4:8].view(np.float32)[0])
    for _ in range(300):
        broken = message.copy()
        broken[0, rng.integers(8, length)] ^= 1 << rng.integers(8)
        with contextlib.suppress(MessageError):
            assert np.abs(decode(compressor, broken, 40)).max() <= norm


@pytest.mark.parametrize("together", [1, 90, 2**15])
def test_the_message_that_is_damaged_is_named(monkeypatch, together):
    monkeypatch.setattr(base, "TOGETHER", together)
    compressor = make("qsgd:levels=4,coding=elias", 40, local=5)
    messages = encode(compressor, np.tile(X, (5, 1)))
    messages[3, 12:] = 255
    with pytest.raises(MessageError, match="message 3, counted from 0: the stream has a code abov"):
        compressor.decode_sum(messages, np.ones(5), np.empty(40))
