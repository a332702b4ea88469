"""A network as the cost model sees it: the bandwidth of every rank's link, and a latency."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mpi_lowrank.errors import OptionError

BITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
PER_SECOND = {"us": 1e6, "ms": 1e3, "s": 1.0}
NUMBER = r"(\d+(?:\.\d+)?)"


class Network(NamedTuple):
    """`bandwidth`: bytes per second of a link, each way; `latency`: seconds per message."""

    bandwidth: float
    latency: float

    @classmethod
    def read(cls, text: str, key: str = "throttle") -> Network:
        """The network that "100mbit,50us" describes. OptionError, of `key`, for another text."""
        bandwidth, _, latency = text.partition(",")
        try:
            return cls(read_bandwidth(bandwidth, key), read_latency(latency, key))
        except OptionError as error:
            allowed = 'a bandwidth and a latency, such as "100mbit,50us"'
            raise OptionError(key, text, allowed) from error

    def __str__(self) -> str:
        return f"{told_bandwidth(self.bandwidth)}, {self.latency * 1e6:g} us"


def read_bandwidth(text: str, key: str) -> float:
    """Bytes per second of "100mbit". Raises OptionError, of `key`, for what is none."""
    number, unit = _read(text, BITS, key, 'a bandwidth above 0, such as "100mbit"')
    return number * BITS[unit] / 8


def read_latency(text: str, key: str) -> float:
    """Seconds of "50us". Raises OptionError, of `key`, for what is none."""
    number, unit = _read(text, PER_SECOND, key, 'a latency above 0, such as "50us"')
    return number / PER_SECOND[unit]


def told_bandwidth(bandwidth: float) -> str:
    """Bytes per second as people name a link: "100 Mbit/s"."""
    bits = 8 * bandwidth
    unit, name = max((u, n) for n, u in BITS.items() if u <= max(bits, 1e3))
    return f"{bits / unit:.4g} {name[0].upper().replace('K', 'k')}bit/s"


def _read(text: str, units: Iterable[str], key: str, allowed: str) -> tuple[float, str]:
    found = re.fullmatch(f"{NUMBER}({'|'.join(units)})", text.strip(), re.ASCII)
    if not found or not 0 < float(found[1]) < 1e12:
        raise OptionError(key, text, allowed)
    return float(found[1]), found[2]
