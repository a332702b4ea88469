"""Streams of Elias omega codes: the plain ones' bits, row by row, number by number."""

import numpy as np

from mpi_lowrank.kernels.cache import compiled

ENDS, ABOVE, BEYOND, LONGER = 1, 2, 3, 4
"""See `plain.elias`."""

LONGEST_CHAIN = 6
"""Numbers of a code's chain, of a value up to 2^63."""

_BYTES, _NUMBERS = "uint8[:]", "int64[::1]"
_CODES = ("uint8", "uint32")


@compiled(f"int64({_BYTES}, int64, int64)")
def _put(stream, at, bit):
    """Write a bit; those behind it in its byte become 0, or are written later."""
    if at & 7:
        stream[at >> 3] |= bit << (7 - (at & 7))
    else:
        stream[at >> 3] = bit << 7
    return at + 1


@compiled(f"int64({_BYTES}, int64, {_NUMBERS}, int64, int64[:,::1], {_NUMBERS}, {_NUMBERS})")
def _put_codes(stream, at, values, count, chains, depth, alive):
    """Write the codes of the first `count` values; the other arrays are as long as values."""
    for i in range(count):
        number, deep = values[i], 0
        chains[0, i] = number
        while number > 1:
            bits = 0
            while number > 1:
                number >>= 1
                bits += 1
            number = bits
            deep += 1
            chains[deep, i] = number
        depth[i], alive[i] = deep, i
    left, group = count, 1
    while left:
        kept = 0
        for j in range(left):
            i = alive[j]
            goes_on = depth[i] >= group
            at = _put(stream, at, np.int64(goes_on))
            alive[kept] = i
            kept += goes_on
        for j in range(kept):
            i = alive[j]
            number = chains[depth[i] - group, i]
            for b in range(chains[depth[i] - group + 1, i]):
                at = _put(stream, at, (number >> b) & 1)
        left, group = kept, group + 1
    return at


@compiled(*(f"void({c}[:,:], int64, uint8[:,:], {_NUMBERS}, {_NUMBERS})" for c in _CODES))
def write(codes, place, streams, counts, sizes):
    """As the plain one."""
    rows, d = codes.shape
    mask = np.int64((1 << place) - 1)
    gaps, levels = np.empty(d, np.int64), np.empty(d, np.int64)
    signs = np.empty(d, np.int64)
    chains, depth = np.empty((LONGEST_CHAIN, d), np.int64), np.empty(d, np.int64)
    alive = np.empty(d, np.int64)
    for w in range(rows):
        count, last, stream, row = 0, -1, streams[w], codes[w]
        for j in range(d):
            level = np.int64(row[j]) & mask
            if level:
                gaps[count], levels[count] = j - last, level
                signs[count] = np.int64(row[j]) >> place
                count, last = count + 1, j
        at = _put_codes(stream, 0, gaps, count, chains, depth, alive)
        for k in range(count):
            at = _put(stream, at, signs[k])
        at = _put_codes(stream, at, levels, count, chains, depth, alive)
        counts[w], sizes[w] = count, (at + 7) >> 3


@compiled(f"int64({_BYTES}, int64)")
def _bit(stream, at):
    return (np.int64(stream[at >> 3]) >> (7 - (at & 7))) & 1


@compiled(f"int64({_BYTES}, int64, int64, int64, int64, {_NUMBERS}, {_NUMBERS})")
def _take_codes(stream, at, end, count, largest, values, alive):
    """Read `count` codes into `values`; the place behind them, or a fault below 0."""
    bits, limit = largest, 0
    while bits:
        bits >>= 1
        limit += 1
    limit = max(limit, 2)
    for i in range(count):
        values[i], alive[i] = 1, i
    left = count
    while left:
        if at + left > end:
            return -ENDS
        kept = 0
        for j in range(left):
            alive[kept] = alive[j]
            kept += _bit(stream, at + j)
        at += left
        total = 0
        for j in range(kept):
            width = values[alive[j]]
            if width >= limit:
                return -ABOVE
            total += width
        if at + total > end:
            return -ENDS
        for j in range(kept):
            width, number = values[alive[j]], 0
            for b in range(width):
                number |= _bit(stream, at + b) << b
            values[alive[j]] = (1 << width) + number
            at += width
        left = kept
    for i in range(count):
        if values[i] > largest:
            return -ABOVE
    return at


@compiled(
    f"int64({_BYTES}, int64, int64, int64, int64, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS})"
)
def _take(stream, end, count, largest, d, gaps, signs, levels, alive):
    """Read a whole stream; the place behind it, or a fault below 0."""
    at = _take_codes(stream, 0, end, count, d, gaps, alive)
    if at < 0:
        return at
    if at + count > end:
        return -ENDS
    for k in range(count):
        signs[k] = _bit(stream, at + k)
    at = _take_codes(stream, at + count, end, count, largest, levels, alive)
    if at < 0:
        return at
    last = -1
    for k in range(count):
        last += gaps[k]
    if last >= d:
        return -BEYOND
    return at if end - at < 8 else -LONGER


@compiled(
    *(
        f"void(uint8[:,:], {_NUMBERS}, {_NUMBERS}, int64, int64, {c}[:,:], uint8[::1])"
        for c in _CODES
    )
)
def read(streams, sizes, counts, largest, place, codes, faults):
    """As the plain one."""
    rows, d = codes.shape
    gaps, levels = np.empty(d, np.int64), np.empty(d, np.int64)
    signs, alive = np.empty(d, np.int64), np.empty(d, np.int64)
    for w in range(rows):
        count, row = counts[w], codes[w]
        at = _take(streams[w], 8 * sizes[w], count, largest, d, gaps, signs, levels, alive)
        faults[w], column = max(0, -at), -1
        row[:] = 0
        for k in range(count if at >= 0 else 0):
            column += gaps[k]
            row[column] = levels[k] | (signs[k] << place)
