"""Factors of signs and zeros for small matrices, chosen worker by worker in a core's cache.

Sums are taken in another order than BLAS takes them, and differ by round-off. A worker is `decided`
where that changes no choice and no sign, so that any order has the same; the few others are left
to the compressor.

A sum of k numbers errs by at most (k - 1) u
times the sum of their magnitudes in any order (Higham 2002, section 4.2), u the unit round-off.
"""

import numpy as np

from mpi_lowrank.kernels.cache import compiled

LONGEST = 64
"""See `plain.discrete`: longer rows are sorted faster by NumPy, and their bounds decide less."""

SAFETY = 4
"""By what a bound is multiplied: two values are compared, each one found in two orders."""

LANES = 16
"""Workers whose atoms are tried side by side: loops of their lengths are single instructions."""

PADDED = 8
"""Rows are padded to a multiple of this, for the same reason."""

SMALL = 2.0**-100
"""Below it the squares of float32 numbers lose digits."""


@compiled("void(float32[:,:,::1], float32[::1], int64[::1], boolean[::1])")
def kronecker(matrices, norms, chosen, decided):
    """Which y of `kronecker_atoms`, of squares `norms`, has the largest |Z y|_1^2/|y|^2.

    `matrices` (workers, m, 2^a), rounded from any type, are 0 or have a largest entry from 1/2. All
    Z_i y of a row come of it in steps (p, q) -> (p, q, p + q, p - q), the last digit of y's number
    first. |Z y|_1/|y| errs by at most (m + c) u times the sum of the rows' lengths.
    """
    workers, m, c = matrices.shape
    count, unit, zero = len(norms), np.float32(2**-24), np.float32(0)
    here = np.zeros(max(count, c) * LANES, np.float32)
    there, sums = np.zeros_like(here), np.zeros_like(here)
    spreads, best = np.empty(LANES), np.empty(LANES, np.int32)
    most, second = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for first in range(0, workers, LANES):
        lanes = min(LANES, workers - first)
        sums[:] = 0
        spreads[:] = 0
        for i in range(m):
            for lane in range(lanes):
                row, square = matrices[first + lane, i], zero
                for j in range(c):
                    here[j * LANES + lane] = row[j]
                    square += row[j] * row[j]
                spreads[lane] += np.sqrt(square)
            done, pairs = LANES, c // 2
            while pairs > 0:
                for pair in range(pairs):
                    p = here[2 * pair * done : (2 * pair + 1) * done]
                    q = here[(2 * pair + 1) * done : (2 * pair + 2) * done]
                    out = there[4 * pair * done : 4 * (pair + 1) * done]
                    first_p, then_q = out[:done], out[done : 2 * done]
                    plus, minus = out[2 * done : 3 * done], out[3 * done :]
                    for k in range(done):
                        first_p[k] = p[k]
                        then_q[k] = q[k]
                        plus[k] = p[k] + q[k]
                        minus[k] = p[k] - q[k]
                done, pairs = 4 * done, pairs // 2
                here, there = there, here
            for k in range(done):
                sums[k] += abs(here[k])
        most[:] = -1
        second[:] = -1
        for atom in range(count):
            share, values = np.float32(1) / norms[atom], sums[atom * LANES : (atom + 1) * LANES]
            for lane in range(LANES):
                value, before = values[lane] * values[lane] * share, most[lane]
                less = min(value, before)
                second[lane] = max(second[lane], less)
                most[lane] = max(value, before)
                best[lane] = atom if value > before else best[lane]
        for lane in range(lanes):
            error, largest = (m + c) * unit * spreads[lane], most[lane]
            moved = 2 * np.sqrt(largest) * error + error * error + 4 * unit * largest
            chosen[first + lane] = best[lane]
            unique = count == 1 or largest - second[lane] > SAFETY * moved
            decided[first + lane] = largest == 0 or unique


_ROW = "float64[::1]"


@compiled(
    f"Tuple((float64, boolean))({_ROW}, int64, float64, float64, {_ROW}, {_ROW}, int64[::1], "
    f"{_ROW})"
)
def _best_signs(v, n, error, unit, signs, magnitudes, ranks, sizes):
    """`best_signs` of the first n numbers of v: what they capture, and whether it is decided.

    It is if all v that are off by at most `error` have the same. The arrays are as long as v.
    """
    for k in range(len(v)):
        magnitudes[k] = abs(v[k])
        ranks[k] = 0
    for i in range(n):
        size = magnitudes[i]
        for k in range(len(v)):
            ranks[k] += (size > magnitudes[k]) | ((size == magnitudes[k]) & (i < k))
    for k in range(n):
        sizes[ranks[k]] = magnitudes[k]
    total = 0.0
    for k in range(n):
        total += sizes[k]
        magnitudes[k] = total
    for k in range(len(v)):
        magnitudes[k] *= magnitudes[k] / (k + 1)
    last, most, second = 0, -1.0, -1.0
    for k in range(n):
        value = magnitudes[k]
        if value > most:
            last, most, second = k, value, most
        elif value > second:
            second = value
    for k in range(n):
        signs[k] = (ranks[k] <= last) * (1 - 2 * (v[k] < 0))
    if most < SMALL:
        return most, error == 0 and sizes[0] == 0
    moved = 2 * np.sqrt(n * most) * error + n * error * error + 2 * (n + 1) * unit * most
    after = sizes[last + 1] if last + 1 < n else 0
    unique = n == 1 or most - second > SAFETY * moved
    return most, unique and sizes[last] - after > SAFETY * error


@compiled(f"int64({_ROW}, int64, float64[:,::1], {_ROW})")
def _combine(signs, n, rows, out):
    """Write the sum of signs[k] rows[k], k < n; how many are not 0."""
    out[:] = 0
    held = 0
    for i in range(n):
        sign, row = signs[i], rows[i]
        held += sign != 0
        for k in range(len(out)):
            out[k] += sign * row[k]
    return held


@compiled("void(float64[:,:,::1], int64, float64, float64[:,::1], float64[:,::1], boolean[::1])")
def semidiscrete(wide, sweeps, unit, lefts, rights, decided):
    """Write x (workers, q) and y (workers, l) of a term of `sdd`, matrices (workers, q, l), q <= l.

    `unit` is the round-off of the type that they come from, `sweeps` the most alternations.
    """
    workers, q, n = wide.shape
    short, long = -(-q // PADDED) * PADDED, -(-n // PADDED) * PADDED
    rows, columns = np.zeros((q, long)), np.zeros((n, short))
    x, along, y, other = np.zeros(short), np.zeros(short), np.zeros(long), np.zeros(long)
    across, magnitudes, sizes = np.zeros(long), np.zeros(long), np.zeros(long)
    squares, ranks = np.empty(q), np.empty(long, np.int64)
    for w in range(workers):
        widest, longest = 0.0, 0
        across[:] = 0
        for i in range(q):
            total, square = 0.0, 0.0
            for j in range(n):
                value = wide[w, i, j]
                rows[i, j] = value
                columns[j, i] = value
                across[j] += abs(value)
                total += abs(value)
                square += value * value
            widest, squares[i] = max(widest, total), square
            if square > squares[longest]:
                longest = i
        tallest = across.max()
        most, second, sure = -1.0, -1.0, True
        for turn in range(-1, q):  # the longest row first; most others are too short to be best
            i = longest if turn < 0 else turn
            if turn == longest or squares[i] < most * (1 - 16 * n * unit):
                continue
            value, known = _best_signs(rows[i], n, 0.0, unit, other, magnitudes, ranks, sizes)
            if value > most:
                most, second, sure = value, most, known
                y, other = other, y
            else:
                second = max(second, value)
        sure &= most == 0 or most - second > SAFETY * 2 * (n + 3) * unit * most
        for sweep in range(sweeps + 1):
            held = _combine(y, n, columns, along)
            error = held * unit * widest
            _, known = _best_signs(along, q, error, unit, x, magnitudes, ranks, sizes)
            sure &= known
            if sweep == sweeps:
                break
            held = _combine(x, q, rows, across)
            error = held * unit * tallest
            _, known = _best_signs(across, n, error, unit, other, magnitudes, ranks, sizes)
            sure &= known
            y, other = other, y
            same = True
            for j in range(n):
                same &= y[j] == other[j]
            if same:
                break
        for i in range(q):
            lefts[w, i] = x[i]
        for j in range(n):
            rights[w, j] = y[j]
        decided[w] = sure
