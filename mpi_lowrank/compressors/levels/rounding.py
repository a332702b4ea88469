"""Compressors that round every number to a grid of levels: natural, exponential, general."""

from abc import abstractmethod
from typing import Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.levels.dither import BYTE, Dither, behind
from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family

Rounding = Literal["unbiased", "contractive", "nearest"]
"""unbiased: to one of the two levels around a number, with mean the number. contractive: the same,
scaled by 1 / (1 + omega). nearest: to the nearer level, nothing drawn."""


class GridRounding(Wired, Compressor):
    """x_i to sign(x_i) a_j, a_j and a_{j+1} around |x_i| on a fixed grid: no scale is sent.

    With rho the largest ratio of neighbours: unbiased, omega = (rho - 1)^2 / (4 rho), attained at
    the harmonic mean of two levels; contractive, alpha = 1 / (1 + omega); nearest, the same alpha,
    attained midway (Beznosikov et al. 2020; Horvath et al. 2019).

    Wire: 1 + ceil(log2(levels + 1)) bits per number, for its sign, zero and the levels within the
    normal range of the type `wire`. Below that range numbers become 0, above it they are refused.
    """

    rounding: Rounding = option("unbiased")

    def promised(self):
        self.levels = levels = self.level_values()
        self._bits = bits_for(len(levels) + 1)
        self._codes = BitFields(self.d, 1 + self._bits)
        exact = levels.astype(np.float64)
        ratios = exact[1:] / exact[:-1]
        widest = np.flatnonzero(ratios > (1 - 1e-6) * ratios.max())
        self._widest = int(widest[np.abs(np.log(exact[widest])).argmin()])  # the one about 1
        rho = float(ratios.max())
        omega = (rho - 1) ** 2 / (4 * rho)
        unbiased, alpha = self.rounding == "unbiased", 1 / (1 + omega)
        self._shrink = alpha if self.rounding == "contractive" else 1.0
        return Promise(
            nbytes=self._codes.nbytes,
            published_bits=self.d * self._codes.width,
            alpha=None if unbiased else alpha,
            omega=omega if unbiased else None,
            random=self.rounding != "nearest",
            homogeneous=False,
            precision=self.number,
        )

    @abstractmethod
    def level_values(self) -> np.ndarray:
        """Check the subclass's own options; the levels above 0, in the type `wire`."""

    def prepare(self, local, total):
        shape = local, self.d
        self._magnitude = np.empty(shape, self.dtype)
        self._up = np.empty(shape, bool)
        self._signs = np.empty(shape, self._codes.dtype)
        self._packed = np.empty((total, self.d), self._codes.dtype)
        self._codes.prepare(total)
        self._dither = Dither(self.d, self.random)
        with np.errstate(over="ignore", under="ignore"):  # levels that no x of this type reaches
            levels = self.levels.astype(self.dtype)
        self._table = np.append(levels, np.inf).astype(self.dtype)
        # A code is a sign and a level, 0 for none; those that stand for nothing are NaN.
        self._decoded = np.full((2, 1 << self._bits), np.nan, self.dtype)
        self._decoded[0, : len(levels) + 1] = np.append(0, levels) * self._shrink
        self._decoded[1] = -self._decoded[0]
        self._decoded[1, 0] = 0

    def worst_case(self):
        low, high = self.levels[self._widest : self._widest + 2].astype(np.float64)
        at = (low + high) / 2 if self.rounding == "nearest" else 2 * low * high / (low + high)
        return np.full(self.d, at)

    def expected_error(self, x):
        magnitude = np.abs(x).astype(np.float64)
        table = np.concatenate([[0], self.levels.astype(np.float64), [np.inf]])
        at = np.searchsorted(table, magnitude, side="right") - 1
        low, high = table[at], table[at + 1]
        zero = at == 0
        if self.rounding == "nearest":
            error = np.minimum(magnitude - low, high - magnitude) ** 2
        else:
            spread = (magnitude - low) * (high - magnitude)
            error = self._shrink**2 * spread + (1 - self._shrink) ** 2 * magnitude**2
        return np.where(zero, magnitude**2, error).sum(axis=1)

    def encode(self, x, messages, generators):
        codes = self._packed[: len(x)]
        if len(x) and max(x.max(), -x.min()) > self.levels[-1]:
            raise FloatingPointError(f"{self.name}: the largest level is {self.levels[-1]:g}")
        self._code(x, codes, generators)
        self._codes.pack(codes, messages)

    def _code(self, x, codes, generators):
        n = len(x)
        magnitude, signs, up = np.abs(x, out=self._magnitude[:n]), self._signs[:n], self._up[:n]
        self._round(magnitude, codes, generators)
        codes *= np.greater_equal(magnitude, self.levels[0], out=up)
        np.less(x, 0, out=up)
        np.left_shift(up, self._bits, out=signs, dtype=signs.dtype)
        codes |= signs

    @abstractmethod
    def _round(self, magnitude, codes, generators):
        """Fill `codes` with 1 + the level that each magnitude from the lowest level goes to."""

    def decode(self, messages, out):
        codes = self._packed[: len(messages)]
        self._codes.unpack(messages, codes)
        np.take(self._decoded.reshape(-1), codes, out=out, mode="clip")
        if np.isnan(np.add.reduce(out, axis=None)):
            raise MessageError(f"{self.name}: a code above that of the {len(self.levels)}th level")


def _limits(wire: str) -> tuple[float, float]:
    """The smallest and the largest power of two in the normal range of a type."""
    info = np.finfo(wire)
    return float(info.smallest_normal), 2.0 ** (info.maxexp - 1)


@compressors.register("natural")
class Natural(GridRounding):
    """Rounds to powers of two: sign and exponent remain. omega = 1/8 (Horvath et al. 2019).

    Wire: 9 bits per number (`wire` = "float32"), or 12 ("float64").
    """

    examples = ("", "rounding=contractive", "rounding=nearest", "wire=float64")

    def level_values(self):
        info = np.finfo(self.wire)
        return np.ldexp(np.ones(1, self.wire), np.arange(info.minexp, info.maxexp))

    def prepare(self, local, total):
        super().prepare(local, total)
        # A number's own bits are exponent, point, mantissa: what is added carries over.
        self._float = np.promote_types(self.dtype, self.number)
        held, wire = np.finfo(self._float), np.finfo(self.number)
        self._point, self._lowest = held.nmant, wire.minexp - held.minexp + 1
        self._fixed = np.empty((local, self.d), f"i{held.bits // 8}")
        self._dither.prepare(local, self._fixed.dtype)
        self._kernels = family("levels", local * self.d)

    def _code(self, x, codes, generators):
        if not self._kernels.AT_ONCE:
            super()._code(x, codes, generators)
            return
        bits = self._fixed[: len(x)]
        bits.view(self._float)[...] = x
        dithers, tied = self._dither.draw(len(x), generators)
        self._kernels.powers(bits, dithers, self._point, self._lowest, self._bits, codes, tied)
        carried = self._dither.carried(tied, self._behind, generators)
        flat = codes.reshape(-1)
        flat[carried] += (flat[carried] & ((1 << self._bits) - 1)) > 0  # none below the lowest

    def _round(self, magnitude, codes, generators):
        fixed = self._fixed[: len(magnitude)]
        fixed.view(self._float)[...] = magnitude
        self._dither.add(fixed, self._point, self._behind, generators)
        np.right_shift(fixed, self._point, out=fixed)
        np.subtract(fixed, self._lowest - 1, out=codes, casting="unsafe")

    def _behind(self, places):
        return behind(self._fixed.reshape(-1)[places], self._point)


class _Periodic(GridRounding):
    """Levels step_k base^j for all j, the steps from 1 to below the base."""

    base: float

    def level_values(self):
        if not 1.01 <= self.base <= 1000:
            raise OptionError("base", self.base, "a number from 1.01 to 1000")
        steps, base = self.in_a_period(), self.base
        smallest, largest = _limits(self.wire)
        first, last = np.floor(np.log([smallest, largest]) / np.log(base))
        periods = np.arange(first, last + 1)
        exact = (float(base) ** periods[:, np.newaxis] * np.array(steps)).reshape(-1)
        levels = exact[(exact >= smallest) & (exact <= largest)]
        self._period = len(steps)
        self._log_base, self._log_lowest = np.log(base), np.log(levels[0])
        # Between two levels the guess grows from the one's to the other's; half a level for its
        # round-off.
        guesses = (np.log(levels) - self._log_lowest) * self._period / self._log_base
        numbers = np.arange(len(levels))
        low, high = np.floor(guesses - 0.5), np.floor(np.append(guesses[1:], guesses[-1]) + 0.5)
        self._slack = int(max((numbers - low).max(), (high - numbers).max()))
        return levels.astype(self.wire)

    def prepare(self, local, total):
        super().prepare(local, total)
        shape = local, self.d
        self._low, self._part, self._high = (np.empty(shape, self.dtype) for _ in range(3))
        self._at, self._fixed = np.empty(shape, np.intp), np.empty(shape, np.int32)
        self._dither.prepare(local, self._fixed.dtype)

    def _round(self, magnitude, codes, generators):
        n = len(magnitude)
        fixed, at, part = self._fixed[:n], self._at[:n], self._part[:n]
        self._locate(magnitude, at, part)
        part *= 1 << BYTE
        np.copyto(fixed, part, casting="unsafe")
        self._dither.add(fixed, BYTE, self._behind, generators)
        fixed >>= BYTE
        at += fixed
        np.add(at, 1, out=codes, casting="unsafe")

    def _behind(self, places):
        return self._part.reshape(-1)[places] % 1

    @abstractmethod
    def in_a_period(self) -> list[float]:
        """The steps, from 1 to below the base."""

    def _locate(self, magnitude, at, part):
        """Fill `at` with the level below or at each magnitude.

        And `part` with the share of the way from there to the next level, in [0, 1).
        """
        table, low, n = self._table, self._low[: len(magnitude)], len(magnitude)
        self._guess(magnitude, at)
        np.clip(at, 0, len(self.levels) - 1, out=at)
        for _ in range(self._slack):
            np.take(table, at, out=low, mode="clip")
            np.greater(low, magnitude, out=self._up[:n])
            np.subtract(at, self._up[:n], out=at, dtype=np.intp)
            np.maximum(at, 0, out=at)
        for _ in range(self._slack):
            np.add(at, 1, out=at)
            np.take(table, at, out=low, mode="clip")
            np.greater(low, magnitude, out=self._up[:n])
            np.subtract(at, self._up[:n], out=at, dtype=np.intp)
        np.take(table, at, out=low, mode="clip")
        np.subtract(magnitude, low, out=part)
        np.add(at, 1, out=at)
        np.take(table, at, out=self._high[:n], mode="clip")
        np.subtract(at, 1, out=at)
        np.subtract(self._high[:n], low, out=low)
        np.divide(part, low, out=part)

    def _guess(self, magnitude, at):
        """Fill `at` with the level below each magnitude, or one at most `_slack` away."""
        logs = self._low[: len(magnitude)]
        np.maximum(magnitude, self._table[0], out=logs)
        np.log(logs, out=logs)
        logs -= self._log_lowest
        logs *= self._period / self._log_base
        np.copyto(at, logs, casting="unsafe")


@compressors.register("exponential_rounding")
class ExponentialRounding(_Periodic):
    """Rounds to powers of `base` b: omega = (b - 1)^2 / (4 b), or alpha = 4 b / (b + 1)^2.

    b = 2 is natural compression. Beznosikov et al. 2020, section 2 (unbiased and biased).
    """

    examples = ("base=1.5", "base=3.0,rounding=contractive", "base=4.0,rounding=nearest")

    base: float = option(3.0)

    def in_a_period(self):
        return [1.0]


@compressors.register("grid_rounding")
class PeriodicRounding(_Periodic):
    """Rounds to a grid that repeats in every decade of `base`, such as 1, 2, 5, 10, 20, 50, ...

    `steps`: the levels from 1 to below the base, "1,2,5". The constants follow from the largest
    ratio of neighbours (Beznosikov et al. 2020, general unbiased rounding).
    """

    examples = ("", "rounding=nearest")

    base: float = option(10.0)
    steps: str = option("1 2 5")

    def in_a_period(self):
        allowed = f'increasing numbers from 1 to below base = {self.base:g}, such as "1 2 5"'
        try:
            levels = [float(step) for step in self.steps.split()]
        except ValueError:
            raise OptionError("steps", self.steps, allowed) from None
        bounded = levels and levels[0] == 1 and levels[-1] < self.base
        if not bounded or sorted(set(levels)) != levels:
            raise OptionError("steps", self.steps, allowed)
        return levels
