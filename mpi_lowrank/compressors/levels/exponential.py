"""Dithering with levels that fall off by a power: exponential and natural dithering."""

from math import sqrt

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
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

    def _locate(self, y, at, part):
        low = self._draws[: len(y)]
        np.maximum(y, self._table[1], out=part)
        np.log(part, out=part)
        part /= np.log(self.base)
        part += self.s
        np.copyto(at, part, casting="unsafe")  # 1 at the lowest level, s at 1; or one off
        np.clip(at, 1, self.s, out=at)
        for step in (0, 1):
            np.add(at, step, out=at)
            np.take(self._table, at, out=low, mode="clip")
            np.subtract(at, np.greater(low, y, out=self._up[: len(y)]), out=at, dtype=np.intp)
        np.minimum(at, self.s - 1, out=at)
        np.take(self._table, at, out=low, mode="clip")
        np.subtract(y, low, out=part)
        np.add(at, 1, out=at)
        np.take(self._table, at, out=y, mode="clip")
        np.subtract(y, low, out=low)
        np.subtract(at, 1, out=at)
        np.divide(part, low, out=part)

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
