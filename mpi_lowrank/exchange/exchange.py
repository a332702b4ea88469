"""The seam between methods and collectives: every worker's vector in, (own, mean) out."""

from collections.abc import Sequence

import numpy as np

from mpi_lowrank.collectives import collectives
from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.collectives.reductions import Allreduce
from mpi_lowrank.compressors.base import (
    LENGTH,
    Compressor,
    Largest,
    Operator,
    SharedCompressor,
    finite,
    message_lengths,
)
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream
from mpi_lowrank.rounds.state import State


class Exchange:
    """Sends each local worker's vector through a compressor to all; gives back (own, mean).

    Messages travel as the collective `topology` says and are added in worker order, so that the
    mean has the same bits in any topology, on every rank and on any number of ranks. Coefficients
    of a shared compressor are averaged by the collective `reduction`.
    """

    def __init__(
        self,
        door: Door,
        placement: Placement,
        clock: Clock,
        d: int,
        dtype: np.dtype,
        topology: str = "allgather",
        reduction: str = "mpi",
        seed: int = 0,
        state: State | None = None,
    ):
        self.door, self.placement, self.clock = door, placement, clock
        self.d, self.dtype, self.seed = d, np.dtype(dtype), seed
        self.topology: Topology = collectives[topology](door)
        self.reduction: type[Reduction] = collectives[reduction]
        self.state = state or State(placement.local, dtype)
        traffic = self.state.within("traffic")
        self._uplink, self._downlink = (traffic.array(way, (), float) for way in ("up", "down"))
        self._handed, self._spoken = traffic.counter("handed"), traffic.counter("spoken")
        self._unsendable = traffic.of_rank("unsendable", (), bool)
        self.round = 0
        self.call = 0, 0
        """The round, and the number in it, of the call under way: what draws are keyed by."""
        self._last: _Gathered | _Reduced | None = None
        self._channels: dict[Operator, _Gathered | _Reduced] = {}
        self._broadcasts: dict[Compressor, _Broadcast] = {}

    def prepare(self, compressor: Operator, name: str = "uplink") -> None:
        """Make the buffers that `compressor` needs; what it remembers goes by that name."""
        compressor.remember(self.state.within(name))
        if isinstance(compressor, SharedCompressor):
            self._channels[compressor] = _Reduced(self, compressor)
        elif isinstance(compressor, Compressor):
            self._channels[compressor] = _Gathered(self, compressor)

    def prepare_broadcast(self, compressor: Compressor, name: str = "downlink") -> None:
        """Make the buffers for `broadcast` through `compressor`; else as `prepare`."""
        compressor.remember(self.state.within(name))
        self._broadcasts[compressor] = _Broadcast(self, compressor)

    @property
    def round(self) -> int:
        """The round: draws follow from it and from how many calls it has seen before."""
        return self._round

    @round.setter
    def round(self, round: int) -> None:
        self._round, self._calls, self._told = round, 0, 0

    def warm_up(self) -> None:
        """Pass an empty message through all that was prepared, so that MPI knows its ways."""
        for channel in self._channels.values():
            channel.warm_up()

    def __call__(
        self,
        x: np.ndarray,
        compressor: Operator,
        weights: np.ndarray | None = None,
        active: np.ndarray | None = None,
        own: bool = True,
        share: bool = True,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Exchange x (local workers, d); the arrays returned are overwritten by the next call.

        own (local workers, d): what the others believe each local worker sent; None where no `own`
        was asked for. mean (d,): sum of weights[i] own_i over all workers,
        weights (workers,) 1/n unless given. `active` (workers,) bool: the others are silent, send
        nothing, and their own is 0. Without `share` a server keeps the mean to itself: elsewhere
        than on rank 0 it is not to be read. Every call of a round draws numbers of its own.
        """
        self.clock.lap("update")
        self.call, self._calls = (self._round, self._calls), self._calls + 1
        self._spoken[()] += self.placement.total if active is None else np.count_nonzero(active)
        self._last = self._channels[compressor]
        return self._last.exchange(x, weights, active, own, share)

    def bill(self, uplink: float, handed: int, downlink: float) -> None:
        """Add bytes: what a worker sent, what all ranks handed over for it, what a worker heard."""
        self._uplink[()] += uplink
        self._handed[()] += handed
        self._downlink[()] += downlink

    @property
    def uplink_bytes(self) -> float:
        """What the workers have sent, per worker."""
        return self._uplink.item()

    @property
    def downlink_bytes(self) -> float:
        """What a worker has had to receive back: see the collectives."""
        return self._downlink.item()

    @property
    def handed_bytes(self) -> int:
        """What all ranks together should have handed to MPI as uplink: the ledger must agree."""
        return self._handed.item()

    @property
    def unsendable(self) -> bool:
        """Whether this rank had a vector that was not finite or did not fit the wire's type."""
        return self._unsendable.item()

    @unsendable.setter
    def unsendable(self, unsendable: bool) -> None:
        self._unsendable[()] = unsendable

    @property
    def messages(self) -> float:
        """How many vectors have been sent, per worker; a silent one sends none."""
        return self._spoken.item() / self.placement.total

    def heard(self) -> np.ndarray | None:
        """What the others have made of the local workers' last messages, (local workers, d).

        None if the last exchange was a reduction, which has no messages.
        """
        return self._last.heard() if self._last else None

    def broadcast(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What rank 0's x (d,) is decoded to by everybody, rank 0 included, (d,)."""
        self.clock.lap("update")
        self.call, self._told = (self._round, self._told), self._told + 1
        return self._broadcasts[compressor].send(x)


class _Gathered:
    """The buffers of a per-worker compressor."""

    def __init__(self, exchange: Exchange, compressor: Compressor):
        self.seam, self.compressor = exchange, compressor
        placement, self.door, self.clock = exchange.placement, exchange.door, exchange.clock
        self.placement, self.topology = placement, exchange.topology
        self.receives = self.topology.receives
        n, nbytes = placement.total, compressor.nbytes
        self.sent = np.zeros((placement.local, nbytes), np.uint8)
        self.received = np.zeros((n, nbytes) if self.receives else (0, nbytes), np.uint8)
        self.own = np.zeros((placement.local, exchange.d), exchange.dtype)
        self.mean = np.zeros(exchange.d, exchange.dtype)
        self.uniform = np.full(n, 1 / n, exchange.dtype)
        self.spoke = np.ones(placement.local, bool)
        self.draws = _Draws(exchange, compressor)
        compressor.prepare(placement.local, n)
        if compressor.variable:
            self.sent[:, : LENGTH.itemsize].view(LENGTH)[:] = LENGTH.itemsize
            self.bodies = _Bodies(self.topology, placement, nbytes)

    def warm_up(self):
        self._transfer(self.sent, self.placement.counts, "control")

    def exchange(self, x, weights, active, own, share):
        weights = self.uniform if weights is None else weights
        if self.compressor.common:
            self.compressor.begin(self.draws.common(), self.placement.workers)
        self._pack(x)
        sent, counts = self.sent, self.placement.counts
        self.spoke[:] = True if active is None else active[self.placement.workers]
        if active is not None:
            sent, counts, weights = self._speaking(active, weights)
        self.clock.lap("compress")
        speakers, sizes = self._transfer(sent, counts, "uplink")
        self.clock.lap("exchange")
        if own:
            self.compressor.decode(self.sent, self.own)
            self.own[~self.spoke] = 0
        if self.receives:
            self._add_up(speakers, weights)
        self.clock.lap("decode")
        if share and self.topology.server:
            self.topology.tell(self.mean)
            self.clock.lap("exchange")
        self._account(sizes, share)
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
        """Move the messages; the received ones, and the bytes of each rank's."""
        speakers = self.received[: sum(counts)]
        if self.compressor.variable:
            return speakers, self.bodies.transfer(sent, speakers, counts, purpose)
        nbytes = self.compressor.nbytes
        sizes = [count * nbytes for count in counts]
        self.topology.move(sent, speakers.reshape(-1) if self.receives else None, sizes, purpose)
        return speakers, sizes

    def _account(self, sizes, share):
        exchange, n, sent = self.seam, self.placement.total, sum(sizes)
        told = self.mean.nbytes if share and self.topology.server else 0
        downlink = self.topology.downlink(sent, told, n)
        exchange.bill(sent / n, self.topology.handed(sizes), downlink)


class _Bodies:
    """Messages of varying length: all lengths first, then what is behind them, without gaps."""

    def __init__(self, topology: Topology, placement: Placement, nbytes: int):
        self.placement, self.move, self.receives = placement, topology.move, topology.receives
        total = placement.total if self.receives else 0
        body = nbytes - LENGTH.itemsize
        self.mine = np.zeros(placement.local * body, np.uint8)
        self.all = np.zeros(total * body, np.uint8)
        self.lengths = np.zeros(total, LENGTH)

    def transfer(self, sent, speakers, counts, purpose) -> Sequence[int]:
        """Fill the rows of `speakers`; the bytes of each rank's messages.

        A rank that receives nothing knows of its own alone.
        """
        mine, header = message_lengths(sent).copy(), LENGTH.itemsize
        lengths = self.lengths[: sum(counts)] if self.receives else None
        self.move(mine, lengths, counts, purpose)
        flat, at = self.mine, 0
        for row, length in zip(sent, mine.tolist(), strict=True):
            flat[at : at + length - header] = row[header:length]
            at += length - header
        if not self.receives:
            self.move(flat[:at], None, counts, purpose)
            return [header * len(mine) + at]
        speakers[:, :header].view(LENGTH)[:, 0] = lengths
        bodies = (message_lengths(speakers) - header).astype(np.int64)
        ends = np.cumsum(bodies)
        ranks = np.repeat(np.arange(len(counts)), counts)
        sizes = np.bincount(ranks, bodies, len(counts)).astype(int).tolist()
        whole = self.all[: int(ends[-1]) if len(ends) else 0]
        self.move(flat[:at], whole, sizes, purpose)
        for row, end, size in zip(speakers, ends, bodies, strict=True):
            row[header : header + size] = whole[end - size : end]
        return [size + header * count for size, count in zip(sizes, counts, strict=True)]


class _Draws:
    """A call's generators: one a local worker, and one that all workers share."""

    def __init__(self, exchange: Exchange, operator: Operator):
        self.exchange, seed = exchange, exchange.seed
        workers = exchange.placement.workers if operator.random else ()
        self._own = [Stream(seed, Purpose.COMPRESS, worker) for worker in workers]
        self._common = Stream(seed, Purpose.COMPRESS, SHARED)

    def own(self) -> list[np.random.Generator]:
        return [stream.at(*self.exchange.call) for stream in self._own]

    def common(self) -> np.random.Generator:
        return self._common.at(*self.exchange.call)


class _Reduced:
    """The buffers of a shared compressor."""

    def __init__(self, exchange: Exchange, compressor: SharedCompressor):
        self.seam, self.compressor = exchange, compressor
        placement = self.placement = exchange.placement
        self.own = np.zeros((placement.local, exchange.d), exchange.dtype)
        self.mean = np.zeros(exchange.d, exchange.dtype)
        self.draws = _Draws(exchange, compressor)
        ways = exchange.door, placement, exchange.dtype
        self.reduction = exchange.reduction(*ways)
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
        wish: np.ndarray | Largest | None = next(phases)
        while wish is not None:
            self.seam.clock.lap("compress")
            largest = isinstance(wish, Largest)
            rows = wish.rows if isinstance(wish, Largest) else wish
            if largest:
                reduced = self.maxima.largest(rows)
            else:
                reduced = self.reduction.average(rows, "uplink")
            self._account(rows[0].nbytes, self.maxima if largest else self.reduction)
            self.seam.clock.lap("exchange")
            if not finite(reduced):  # overflow on the wire: the same on every rank
                self.seam.unsendable = True
                reduced[...] = 0
            try:
                wish = phases.send(reduced)
            except StopIteration:
                wish = None
        if own and shares is not None:
            np.divide(self.own, shares, out=self.own, where=shares > 0)
            self.own[shares[:, 0] == 0] = 0
        self.seam.clock.lap("decode")
        return wanted, self.mean

    def heard(self):
        return None

    def _shares(self, weights, active):
        """What the local workers' vectors are multiplied by; None if all count alike."""
        if weights is None and active is None:
            return None
        shares = np.ones(self.placement.total, self.mean.dtype)
        if weights is not None:
            shares *= weights * self.placement.total
        if active is not None:
            shares *= active
        return shares[self.placement.workers, np.newaxis]

    def _account(self, nbytes, reduction):
        exchange, placement = self.seam, self.placement
        handed = reduction.handed(nbytes, placement.total, placement.ranks)
        exchange.bill(nbytes, handed, reduction.downlink(nbytes, placement.total))


class _Broadcast:
    """The buffers of a compressor for what rank 0 tells everybody."""

    def __init__(self, exchange: Exchange, compressor: Compressor):
        self.exchange, self.compressor = exchange, compressor
        self.message = np.zeros((1, compressor.nbytes), np.uint8)
        self.decoded = np.zeros((1, exchange.d), exchange.dtype)
        self.stream = Stream(exchange.seed, Purpose.BROADCAST, SHARED)
        compressor.prepare(1, 1)

    def send(self, x):
        exchange = self.exchange
        if self.compressor.common:
            self.compressor.begin(self.stream.at(*exchange.call), range(1))
        if exchange.placement.rank == 0:
            self._pack(x[np.newaxis])
        exchange.clock.lap("compress")
        length = self._transfer()
        exchange.clock.lap("exchange")
        self.compressor.decode(self.message, self.decoded)
        exchange.clock.lap("decode")
        exchange.bill(0, 0, length)
        return self.decoded[0]

    def _pack(self, x):
        draws = [self.stream.at(*self.exchange.call)]
        try:
            self.compressor.pack(x, self.message, draws)
        except FloatingPointError:
            self.exchange.unsendable = True
            self.compressor.pack(np.zeros_like(x), self.message, draws)

    def _transfer(self):
        """Broadcast the message; its bytes."""
        message, door = self.message[0], self.exchange.door
        if not self.compressor.variable:
            door.broadcast(message, "downlink")
            return message.nbytes
        door.broadcast(message[: LENGTH.itemsize], "downlink")
        length = int(message_lengths(self.message)[0])
        door.broadcast(message[LENGTH.itemsize : length], "downlink")
        return length
