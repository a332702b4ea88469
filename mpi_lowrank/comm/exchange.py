"""The seam between methods and collectives: gathered messages, decoded in worker order."""

from typing import Literal

import numpy as np

from mpi_lowrank.clock import Clock
from mpi_lowrank.comm.door import Door
from mpi_lowrank.comm.placement import Placement
from mpi_lowrank.compressors.base import Compressor
from mpi_lowrank.randomness import Purpose, Stream

Topology = Literal["allgather", "server"]


class Exchange:
    """Sends each local worker's vector through a compressor to all; gives back (own, mean).

    `allgather`: every rank receives all messages and decodes their mean itself. `server`: rank 0
    gathers them, decodes, and broadcasts the mean in the state's dtype. Both add in worker order,
    so the mean has the same bits in either, on every rank and on any number of ranks.

    `message_bytes` counts what a mean worker has sent, `downlink_bytes` what a worker has had to
    receive back: the other workers' messages, or the broadcast mean.
    """

    def __init__(
        self, door: Door, placement: Placement, clock: Clock, d: int, dtype, topology: Topology
    ):
        self.door, self.placement, self.clock = door, placement, clock
        self.d, self.dtype, self.topology = d, np.dtype(dtype), topology
        self.round = 0
        self.message_bytes = self.downlink_bytes = 0
        self._channels: dict[Compressor, _Channel] = {}

    def prepare(self, compressor: Compressor, seed: int) -> None:
        """Make the buffers that `compressor` needs, and pass one empty message to warm up MPI."""
        channel = self._channels[compressor] = _Channel(self, compressor, seed)
        channel.transfer("control")

    def __call__(self, x: np.ndarray, compressor: Compressor) -> tuple[np.ndarray, np.ndarray]:
        """Exchange x (local workers, d); the arrays returned are overwritten by the next call.

        own (local workers, d): what the others believe each local worker sent. mean (d,): the mean
        of that over all workers.
        """
        self.clock.lap("update")
        channel = self._channels[compressor]
        channel.encode(x, self.round)
        self.clock.lap("compress")
        channel.transfer("uplink")
        self.clock.lap("exchange")
        channel.decode()
        self.clock.lap("decode")
        if self.topology == "server":
            self.door.broadcast(channel.mean, "downlink")
            self.clock.lap("exchange")
        self._account(compressor)
        return channel.own, channel.mean

    def _account(self, compressor: Compressor) -> None:
        self.message_bytes += compressor.nbytes
        gathered = (self.placement.total - 1) * compressor.nbytes
        dense = self.d * self.dtype.itemsize
        self.downlink_bytes += gathered if self.topology == "allgather" else dense


class _Channel:
    """The buffers of one compressor."""

    def __init__(self, exchange: Exchange, compressor: Compressor, seed: int):
        placement, nbytes = exchange.placement, compressor.nbytes
        self.door, self.compressor = exchange.door, compressor
        self.gathers = exchange.topology == "allgather"
        self.receives = self.gathers or placement.rank == 0
        self.counts = [count * nbytes for count in placement.counts]
        self.sent = np.zeros((placement.local, nbytes), np.uint8)
        self.received = np.zeros((placement.total, nbytes), np.uint8) if self.receives else None
        self.own = np.zeros((placement.local, exchange.d), exchange.dtype)
        self.mean = np.zeros(exchange.d, exchange.dtype)
        workers = placement.workers if compressor.random else ()
        self.streams = [Stream(seed, Purpose.COMPRESS, worker) for worker in workers]
        compressor.prepare(placement.local, placement.total)

    def encode(self, x, round):
        generators = [stream.at(round) for stream in self.streams]
        self.compressor.encode(x, self.sent, generators)

    def transfer(self, purpose):
        whole = self.received.reshape(-1) if self.receives else None
        if self.gathers:
            self.door.allgather(self.sent, whole, self.counts, purpose)
        else:
            self.door.gather(self.sent, whole, self.counts, purpose)

    def decode(self):
        self.compressor.decode(self.sent, self.own)
        if self.receives:
            self.compressor.decode_mean(self.received, self.mean)
