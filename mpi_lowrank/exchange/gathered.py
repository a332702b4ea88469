"""A per-worker compressor's messages: packed, moved as the topology says, added up."""

import numpy as np

from mpi_lowrank.collectives.base import Topology
from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.compressors.wire.messages import LENGTH, message_lengths
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange.draws import Draws
from mpi_lowrank.exchange.seam import Seam

TOKEN = 2**12
"""Bytes at the most that each rank hands over before the first round."""


class Gathered:
    """The buffers of a per-worker compressor."""

    def __init__(self, seam: Seam, compressor: Compressor):
        self.seam, self.compressor, self.clock = seam, compressor, seam.clock
        placement = self.placement = seam.placement
        self.topology = seam.topology
        self.receives = self.topology.receives
        n, nbytes = placement.total, compressor.nbytes
        self.nbytes, self.variable, self.common = nbytes, compressor.variable, compressor.common
        self.sent = np.zeros((placement.local, nbytes), np.uint8)
        self.received = np.zeros((n, nbytes) if self.receives else (0, nbytes), np.uint8)
        self.own = np.zeros((placement.local, compressor.d), seam.dtype)
        self.mean = np.zeros(compressor.d, seam.dtype)
        self.uniform = np.full(n, 1 / n, seam.dtype)
        self.spoke = np.ones(placement.local, bool)
        self.draws = Draws(seam, compressor)
        compressor.prepare(placement.local, n)
        if compressor.variable:
            self.bodies = Bodies(self.topology, placement, nbytes)

    def warm_up(self):
        """Pass a token: a first round's whole vectors of all workers may be gigabytes."""
        counts = self.placement.counts
        size = min(TOKEN, counts[-1] * self.nbytes)
        whole = self.received.reshape(-1)[: size * len(counts)] if self.receives else None
        self.topology.move(self.sent.reshape(-1)[:size], whole, [size] * len(counts), "control")

    def preview(self, x):
        """What x's rows would be decoded to if they were sent in the next call, (workers, d)."""
        self._begin()
        self._pack(x)
        self.compressor.decode(self.sent, self.own)
        return self.own

    def _begin(self):
        if self.common:
            self.compressor.begin(self.draws.common(), self.placement.workers)

    def exchange(self, x, weights, active, own, share):
        weights = self.uniform if weights is None else weights
        self._begin()
        self._pack(x)
        sent, counts = self.sent, self.placement.counts
        self.spoke[:] = True if active is None else active[self.placement.workers]
        if active is not None:
            sent, counts, weights = self._speaking(active, weights)
        self.clock.lap("compress")
        speakers, nbytes, handed = self._transfer(sent, counts, "uplink")
        self.clock.lap("exchange")
        if own:
            self.compressor.decode(self.sent, self.own)
            if active is not None:
                self.own[~self.spoke] = 0
        if self.receives:
            self._add_up(speakers, weights)
        self.clock.lap("decode")
        if share and self.topology.server:
            self.topology.tell(self.mean)
            self.clock.lap("exchange")
        self._account(nbytes, handed, share)
        return (self.own if own else None), self.mean

    def _add_up(self, speakers, weights):
        """The weighted sum of what the messages stand for, into the mean; of none it is zero."""
        if len(speakers):
            self.compressor.decode_sum(speakers, weights, self.mean)
        else:
            self.mean[:] = 0

    def heard(self):
        out = np.zeros_like(self.own)
        self.compressor.decode(self.sent, out)
        out[~self.spoke] = 0
        return out

    def everyone(self, out):
        """Decode all workers' last messages, no more at once than there are buffers for."""
        step = len(self.own)
        for at in range(0, len(self.received), step):
            self.compressor.decode(self.received[at : at + step], out[at : at + step])

    def _pack(self, x):
        """Encode x, or zeros if it cannot be sent: the others wait, and learn of it later."""
        try:
            self.compressor.pack(x, self.sent, self.draws.own())
        except FloatingPointError:
            self.seam.unsendable = True
            self.compressor.pack(np.zeros_like(x), self.sent, self.draws.own())

    def _speaking(self, active, weights):
        """The messages, their number on each rank, and the weights of the active workers."""
        ends = np.cumsum(self.placement.counts)
        counts = [int(part.sum()) for part in np.split(active, ends[:-1])]
        return self.sent[active[self.placement.workers]], counts, weights[active]

    def _transfer(self, sent, counts, purpose):
        """Move the messages; return those received, their bytes, and what all ledgers count."""
        speakers = self.received[: sum(counts)]
        if self.variable:
            return speakers, *self.bodies.transfer(sent, speakers, counts, purpose)
        sizes = [count * self.nbytes for count in counts]
        self.topology.move(sent, speakers.reshape(-1) if self.receives else None, sizes, purpose)
        return speakers, sum(sizes), self.topology.handed(sizes)

    def _account(self, nbytes, handed, share):
        n = self.placement.total
        told = self.mean.nbytes if share and self.topology.server else 0
        self.seam.bill(nbytes / n, handed, self.topology.downlink(nbytes, told, n))


class Bodies:
    """Messages of varying length: all lengths first, then what is behind them, without gaps."""

    def __init__(self, topology: Topology, placement: Placement, nbytes: int):
        self.topology, self.receives = topology, topology.receives
        total = placement.total if self.receives else 0
        body = nbytes - LENGTH.itemsize
        self.most = placement.total * body
        self.mine = np.zeros(placement.local * body, np.uint8)
        self.all = np.zeros(total * body, np.uint8)
        self.lengths = np.zeros(total, LENGTH)

    def transfer(self, sent, speakers, counts, purpose) -> tuple[int, int]:
        """Fill the rows of `speakers`; return their bytes, and what all ledgers count for them.

        A rank that receives nothing knows only its own messages.
        """
        mine, header = message_lengths(sent).copy(), LENGTH.itemsize
        lengths = self.lengths[: sum(counts)] if self.receives else None
        self.topology.move(mine, lengths, counts, purpose)
        flat, at = self.mine, 0
        for row, length in zip(sent, mine.tolist(), strict=True):
            flat[at : at + length - header] = row[header:length]
            at += length - header
        if not self.receives:
            self.topology.move_varying(flat[:at], None, counts, self.most, purpose)
            return header * len(mine) + at, 0
        speakers[:, :header].view(LENGTH)[:, 0] = lengths
        bodies = (message_lengths(speakers) - header).astype(np.int64)
        ends = np.cumsum(bodies)
        ranks = np.repeat(np.arange(len(counts)), counts)
        sizes = np.bincount(ranks, bodies, len(counts)).astype(int).tolist()
        whole = self.all[: int(ends[-1]) if len(ends) else 0]
        self.topology.move_varying(flat[:at], whole, sizes, self.most, purpose)
        for row, end, size in zip(speakers, ends, bodies, strict=True):
            row[header : header + size] = whole[end - size : end]
        handed = header * self.topology.handed(counts)
        handed += self.topology.handed_varying(sizes, self.most)
        return header * sum(counts) + sum(sizes), handed
