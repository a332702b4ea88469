"""Dithering with levels that fall off by a power: exponential and natural dithering."""

from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.levels.dither import BYTE, behind
from mpi_lowrank.compressors.levels.dithering import Dithering
from mpi_lowrank.errors import OptionError


@compressors.register("exponential_dithering")
class ExponentialDithering(Dithering):
    """Levels 0, b^(1 - s), ..., 1/b, 1 with b = `base`, s = `levels` (Horvath et al. 2019).

    omega = (b - 1)^2/(4 b) + t min(1, t), t = sqrt(d) b^(1 - s), for either norm: the rounding
    between neighbours, and below the lowest level. b = 2 is natural dithering.
    """

    examples: tuple[str, ...] = ("base=3.0", "base=4.0,levels=6,norm=linf,rounding=nearest")

    base: float = option(2.0)
    levels: int = option(4)

    def level_values(self):
        if not 1.01 <= self.base <= 1000:
            raise OptionError("base", self.base, "a number from 1.01 to 1000")
        if self.levels < 1 or self.base ** (1.0 - self.levels) < 1e-30:
            allowed = "an integer from 1 while base^(1-levels) >= 1e-30"
            raise OptionError("levels", self.levels, allowed)
        return np.append(0, self.base ** np.arange(1.0 - self.levels, 1))

    def prepare(self, local, total):
        super().prepare(local, total)
        shape = local, self.d
        self._low, self._high = (np.empty(shape, self.dtype) for _ in range(2))
        self._at, self._above = np.empty(shape, np.intp), np.empty(shape, bool)
        self._at_once = self._at_once and self.base == 2
        self._lowest, self._block = self.dtype.type(2.0 ** (self.s - 1)), np.empty(512, self.dtype)

    def _fixed_point(self):
        if self.base != 2:
            return super()._fixed_point()
        held = np.finfo(self.dtype)
        return held.nmant, np.dtype(f"i{held.bits // 8}")

    def _locate(self, part, fixed):
        if self.base == 2:
            self._lift(part, self._above[: len(part)], fixed)
            return
        at = self._at[: len(part)]
        self._level_below(part, at)
        part *= 1 << BYTE
        np.copyto(fixed, part, casting="unsafe")
        at <<= BYTE
        np.add(fixed, at, out=fixed, casting="unsafe")

    def _lift(self, part, low, fixed):
        """A number's own bits are exponent, point, mantissa, from the lowest level on.

        Below it the share of the way to it takes the place of the mantissa.
        """
        part *= self._lowest
        np.less(part, 1, out=low)
        np.add(part, low, out=fixed.view(self.dtype))
        fixed -= (np.finfo(self.dtype).maxexp - 2) << self._point
        fixed -= np.left_shift(low, self._point, out=part.view(fixed.dtype), dtype=fixed.dtype)

    def _behind(self, x, norms, places):
        if self.base != 2:
            return self._part.reshape(-1)[places] % 1
        part = self._scaled_at(x, norms, places) * self._lowest
        part += part < 1
        return behind(part.view(self._fixed.dtype), self._point)

    def _round(self, x, norms, dithers, codes, tied):
        number, bits = self._block, self._block.view(self._fixed.dtype)
        rounded = dithers, self._place, codes, tied, number, bits, self._point
        self._kernels.doubling(x, norms, self.size, self._lowest, *rounded)

    def _level_below(self, y, at):
        """Fill `at` with the level below or at each y in [0, 1], at most s - 1.

        And y with the share of the way to the next level.
        """
        low, high = self._low[: len(y)], self._high[: len(y)]
        np.maximum(y, self._table[1], out=high)
        np.log(high, out=high)
        high /= np.log(self.base)
        high += self.s
        np.copyto(at, high, casting="unsafe")  # 1 at the lowest level, s at 1; or one off
        np.clip(at, 1, self.s, out=at)
        for step in (0, 1):
            np.add(at, step, out=at)
            np.take(self._table, at, out=low, mode="clip")
            np.subtract(at, np.greater(low, y, out=self._above[: len(y)]), out=at, dtype=np.intp)
        np.minimum(at, self.s - 1, out=at)
        np.take(self._table, at, out=low, mode="clip")
        np.add(at, 1, out=at)
        np.take(self._table, at, out=high, mode="clip")
        np.subtract(at, 1, out=at)
        np.subtract(y, low, out=y)
        np.subtract(high, low, out=low)
        np.divide(y, low, out=y)

    def _omega(self, d):
        t = sqrt(d) * self.base ** (1 - self.s)
        return (self.base - 1) ** 2 / (4 * self.base) + t * min(1, t)

    def _nearest_alpha(self, d):
        """Numbers below half the lowest level are lost, the others off by (b - 1)/(b + 1)."""
        lowest = self.base ** (1 - self.s) / 2
        relative = ((self.base - 1) / (self.base + 1)) ** 2
        if self.norm == "l2":
            return 1 - relative - d * lowest**2
        midway = (1 + 1 / self.base) / 2
        lost, rounded = (d - 1) * lowest**2, (d - 1) * midway**2
        return 1 - max(lost / (1 + lost), relative * rounded / (1 + rounded))


@compressors.register("natural_dithering")
class NaturalDithering(ExponentialDithering):
    """Exponential dithering to powers of two: omega = 1/8 + t min(1, t), t = sqrt(d) 2^(1 - s)."""

    examples = ("levels=4", "levels=8,norm=linf", "levels=4,rounding=contractive")
    base = 2.0
