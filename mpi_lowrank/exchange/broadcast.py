"""A compressed downlink: rank 0 tells everybody."""

import numpy as np

from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.compressors.wire.messages import LENGTH, message_lengths
from mpi_lowrank.exchange.seam import Seam
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream


class Broadcast:
    """The buffers of a compressor of a downlink, for one vector (d,) at a time."""

    def __init__(self, seam: Seam, compressor: Compressor):
        self.seam, self.compressor = seam, compressor
        self.message = np.zeros((1, compressor.nbytes), np.uint8)
        self.decoded = np.zeros((1, compressor.d), seam.dtype)
        self.stream = Stream(seam.seed, Purpose.BROADCAST, SHARED)
        compressor.prepare(1, 1)

    def send(self, x):
        """What rank 0's x (d,) is decoded to on every rank, (d,); overwritten by the next call."""
        seam = self.seam
        if self.compressor.common:
            self.compressor.begin(self.stream.at(*seam.call), range(1))
        if seam.placement.rank == 0:
            self._pack(x[np.newaxis])
        seam.clock.lap("compress")
        length = self._transfer()
        seam.clock.lap("exchange")
        self.compressor.decode(self.message, self.decoded)
        seam.clock.lap("decode")
        seam.bill(0, 0, length)
        return self.decoded[0]

    def _pack(self, x):
        draws = [self.stream.at(*self.seam.call)]
        try:
            self.compressor.pack(x, self.message, draws)
        except FloatingPointError:
            self.seam.unsendable = True
            self.compressor.pack(np.zeros_like(x), self.message, draws)

    def _transfer(self):
        """Broadcast the message and return its bytes."""
        message, door = self.message[0], self.seam.door
        if not self.compressor.variable:
            door.broadcast(message, "downlink")
            return message.nbytes
        door.broadcast(message[: LENGTH.itemsize], "downlink")
        length = int(message_lengths(self.message)[0])
        door.broadcast(message[LENGTH.itemsize : length], "downlink")
        return length
