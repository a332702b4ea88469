"""A shared compressor's coefficients: reduced over the workers, phase by phase."""

import numpy as np

from mpi_lowrank.collectives.reductions import Allreduce
from mpi_lowrank.compressors.base import SharedCompressor, complete
from mpi_lowrank.compressors.wire.messages import finite
from mpi_lowrank.exchange.draws import Draws
from mpi_lowrank.exchange.seam import Seam


class Reduced:
    """The buffers of a shared compressor."""

    def __init__(self, seam: Seam, compressor: SharedCompressor):
        self.seam, self.compressor = seam, compressor
        placement = self.placement = seam.placement
        self.own = np.zeros((placement.local, compressor.d), seam.dtype)
        self.mean = np.zeros(compressor.d, seam.dtype)
        self.draws = Draws(seam, compressor)
        ways = seam.door, placement, seam.dtype
        self.reduction = seam.reduction(*ways)
        self.maxima = Allreduce(*ways)  # exact in any order, in all reductions
        compressor.prepare(placement.local, placement.total)

    def warm_up(self):
        one = np.zeros((self.placement.local, 1), np.float32)
        self.reduction.average(one, "control")

    def exchange(self, x, weights, active, own, share):
        shares = self._shares(weights, active)
        x = x if shares is None else x * shares
        if not finite(x):
            self.seam.unsendable = True
            x = np.zeros_like(x)
        wanted = self.own if own else None
        phases = self.compressor.reduce(x, wanted, self.mean, self.draws.common(), self.draws.own())
        complete(phases, self._average, self._largest)
        if own and shares is not None:
            np.divide(self.own, shares, out=self.own, where=shares > 0)
            self.own[shares[:, 0] == 0] = 0
        self.seam.clock.lap("decode")
        return wanted, self.mean

    def add(self, x, total):
        """Add to `total` (d,) the mean of what the rows of a Difference become.

        Where D is not finite, neither is D R: that is seen without a pass over D.
        """
        draws = self.draws.common(), self.draws.own()
        phases = self.compressor.reduce(x, None, total, *draws)
        complete(phases, self._average_of_finite, self._largest)
        self.seam.clock.lap("decode")

    def _average_of_finite(self, rows):
        if not finite(rows):
            self.seam.unsendable = True
            rows[...] = 0
        return self._average(rows)

    def _average(self, rows):
        self.seam.clock.lap("compress")
        return self._reduced(rows, self.reduction.average(rows, "uplink"), self.reduction)

    def _largest(self, rows):
        self.seam.clock.lap("compress")
        return self._reduced(rows, self.maxima.largest(rows), self.maxima)

    def _reduced(self, rows, reduced, reduction):
        """Bill what was reduced; zeros where it is not finite, on every rank alike."""
        nbytes, placement = rows[0].nbytes, self.placement
        self.seam.bill(nbytes, reduction.handed(rows), reduction.downlink(nbytes, placement.total))
        self.seam.clock.lap("exchange")
        if not finite(reduced):  # overflow on the wire
            self.seam.unsendable = True
            reduced[...] = 0
        return reduced

    def heard(self):
        return None

    def _shares(self, weights, active):
        """Factors (local workers, 1) for the local workers' vectors; None if all count alike."""
        if weights is None and active is None:
            return None
        shares = np.ones(self.placement.total, self.mean.dtype)
        if weights is not None:
            shares *= weights * self.placement.total
        if active is not None:
            shares *= active
        return shares[self.placement.workers, np.newaxis]
