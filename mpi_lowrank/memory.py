"""What a case takes at least, and what there is: too much is refused before it is allocated."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mpi_lowrank.errors import UserError

if TYPE_CHECKING:
    from mpi_lowrank.compressors.base import Operator

UNLIMITED = 1 << 62
"""Bytes from which on a limit is none."""

LIMIT_FILES = {"": "memory.max", "memory": "memory.limit_in_bytes"}
"""Where a control group's limit stands: version 2, which names no controllers, and version 1."""

MATRICES = 3
"""Of a row a worker in the state's dtype: gradients, and what others made of each channel's rows.
A channel is the case's compressor, or what sends whole vectors beside it."""


def there(root: Path = Path("/")) -> int:
    """Bytes that programs may take here: what is free now, or the limit of a control group."""
    meminfo = _numbers(root / "proc/meminfo")
    free = meminfo.get("MemAvailable:", 0) + meminfo.get("SwapFree:", 0)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([free * 1024 or physical, *_group_limits(root)])


def allowed() -> int:
    """Bytes of address space that this process is allowed (ulimit -v)."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def share(facts: Sequence[dict]) -> int:
    """Bytes that each rank may take, of what `facts` tell of every rank (host, memory, allowed)."""
    ranks = Counter(fact["host"] for fact in facts)
    return min(min(fact["memory"] // ranks[fact["host"]], fact["allowed"]) for fact in facts)


def rows(shapes: Iterable[Sequence[int]], workers: int, total: int, itemsize: int) -> int:
    """Bytes a rank with `workers` of the `total` keeps for vectors of the model, in any method."""
    d = sum(prod(shape) for shape in shapes)
    return workers * d * (MATRICES * itemsize + 8) + 8 * total


def messages(operator: Operator, workers: int, total: int) -> int:
    """Bytes of the messages that it sends, and receives of everybody, in a round."""
    if operator.shared:
        return 0
    copies = 2 if operator.variable else 1  # with gaps and without
    return copies * operator.nbytes * (workers + total)


def check(needed: int, there: int, what: str) -> None:
    """Raise UserError where a rank needs more than there is for `what`."""
    if needed > there:
        raise UserError(
            f"takes {_size(needed)} of memory a rank or more for {what}; there is {_size(there)}: "
            "take fewer workers, a smaller model or more ranks on more machines"
        )


def _size(nbytes: int) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min((nbytes.bit_length() - 1) // 10, len(units) - 1)
    return f"{nbytes / 1024**power:.3g} {units[power]}"


def _group_limits(root: Path) -> list[int]:
    """The limits of this process's control groups and of those above them, version 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in LIMIT_FILES:
            mount = root / "sys/fs/cgroup" / controllers
            group = mount / path.lstrip("/")
            groups = [g for g in (group, *group.parents) if g.is_relative_to(mount)]
            limits += [_text(g / LIMIT_FILES[controllers]) for g in groups]
    return [int(limit) for limit in limits if limit.isdecimal() and int(limit) < UNLIMITED]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _numbers(path: Path) -> dict[str, int]:
    """The first two words of each line."""
    lines = [line.split() for line in _text(path).splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
