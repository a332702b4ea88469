"""Rounding to levels, all in one pass: codes with their signs, and where a dither does not decide.

Each function takes x (workers, d) and `dithers`, a random byte per number in rows that may be
longer. It adds the byte to the first eight bits behind the point of the level that a number lies
at, cuts off what is behind the point, and writes that and the number's sign, `place` bits higher,
into `codes`. `tied` tells where these eight bits come out as 255, so that more bits decide.
"""

import numpy as np

from mpi_lowrank.kernels.cache import compiled

AT_ONCE = True
"""See `plain.levels`."""

_BYTES = "uint8[:,::1]"


@compiled(
    *(
        f"void({bits}[:,::1], {_BYTES}, int64, int64, int64, uint16[:,::1], boolean[:,::1])"
        for bits in ("int32", "int64")
    )
)
def powers(bits, dithers, point, lowest, place, codes, tied):
    """Levels are powers of two. `bits` are the numbers' own, with `point` bits of mantissa.

    The exponent `lowest` is level 1; what is below becomes 0.
    """
    workers, d = bits.shape
    last, magnitude = point - 8, (1 << (8 * bits.itemsize - 1)) - 1
    for w in range(workers):
        row, added, out, ties = bits[w], dithers[w], codes[w], tied[w]
        for j in range(d):
            fixed = row[j] & magnitude
            code = 0
            total = fixed + (np.int64(added[j]) << last)
            if fixed >> point >= lowest:
                code = (total >> point) - lowest + 1
            ties[j] = (total >> last) & 255 == 255
            out[j] = code | (np.int64(row[j] < 0 and fixed > 0) << place)  # -0 has no sign


_REALS = ("float32", "float64")


@compiled(
    *(
        f"void({x}[:,::1], {x}[:,::1], int64, {x}, {_BYTES}, int64, uint8[:,::1], boolean[:,::1])"
        for x in _REALS
    )
)
def uniform(x, norms, size, steps, dithers, place, codes, tied):
    """Levels are multiples of the bucket's norm over s, `steps` = 256 s.

    `norms` (workers, buckets), none of them 0, of `size` numbers each.
    """
    workers, d = x.shape
    for w in range(workers):
        for b in range(norms.shape[1]):
            norm, end = norms[w, b], min((b + 1) * size, d)
            row, added = x[w, b * size : end], dithers[w, b * size : end]
            out, ties = codes[w, b * size : end], tied[w, b * size : end]
            for j in range(len(row)):
                fixed = np.int32(min(abs(row[j]), norm) / norm * steps) + np.int32(added[j])
                ties[j] = fixed & 255 == 255
                out[j] = (fixed >> 8) | (np.int32(row[j] < 0) << place)


@compiled(
    *(
        f"void({x}[:,::1], {x}[:,::1], int64, {x}, {_BYTES}, int64, uint8[:,::1], boolean[:,::1], "
        f"{x}[::1], {bits}[::1], int64)"
        for x, bits in (("float32", "int32"), ("float64", "int64"))
    )
)
def doubling(x, norms, size, lift, dithers, place, codes, tied, number, bits, point):
    """Levels are 0 and the bucket's norm over 1, 2, ..., `lift`; see `uniform` and `powers`.

    `bits` are those of `number`, scratch: numbers from 1 to below 2, from the lowest level on with
    exponents above theirs, hold the share of the way in the mantissa.
    """
    workers, d = x.shape
    last, bias = point - 8, (1 << (8 * bits.itemsize - 2 - point)) - 1
    room = len(number)
    for w in range(workers):
        for b in range(norms.shape[1]):
            norm, end = norms[w, b], min((b + 1) * size, d)
            for at in range(b * size, end, room):
                to = min(at + room, end)
                row, added = x[w, at:to], dithers[w, at:to]
                out, ties = codes[w, at:to], tied[w, at:to]
                for j in range(len(row)):
                    lifted = min(abs(row[j]), norm) / norm * lift
                    low = lifted < 1
                    number[j] = lifted + low
                    out[j] = low
                for j in range(len(row)):
                    fixed = bits[j] - ((bias - 1 + out[j]) << point) + (np.int64(added[j]) << last)
                    ties[j] = (fixed >> last) & 255 == 255
                    out[j] = (fixed >> point) | (np.int64(row[j] < 0) << place)
