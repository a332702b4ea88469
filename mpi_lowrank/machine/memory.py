"""The memory that programs may take on this machine."""

import os
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

UNLIMITED = 1 << 62
"""A limit of so many bytes or more is none."""

LIMIT_FILES = {"": "memory.max", "memory": "memory.limit_in_bytes"}
"""Where a control group's limit stands: version 2, which names no controllers, and version 1."""


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
