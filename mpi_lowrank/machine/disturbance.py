"""Whether a case had its processors to itself: if not, its seconds are not only the method's.

The kernel's counters are read when a case begins and when it ends: nothing is added to a round but
the note of how long it took.
"""

import os
import platform
import resource
import time
from pathlib import Path

import numpy as np

from mpi_lowrank.machine.clock import METHOD, Clock

KEPT_AWAY = 0.05
"""The share of a case's time that a rank may be kept from its processor. A daemon's work stays well
below it; a process that computes on the same core takes half."""

SWITCHES = 50
"""Times a second that a rank may be taken off its processor, where the kernel does not say for how
long. Two processes on one core change places every 3 to 10 ms, a core of one's own sees a few."""

UNEVEN = 2.0
"""What the mean of a case's rounds may be of their median: on machines of one's own 1.0 to 1.3."""

CLOCK_JUMP = 0.5
"""Seconds by which the wall clock and the monotonic clock may drift apart in a case."""

STEPS = (1, 2, 5, 10)
"""A reason's figure is the largest of these multiples of what is allowed that was exceeded: cases
that were disturbed alike share a note."""

CRITERIA = (
    (
        lambda seen: abs(seen["jump"]),
        CLOCK_JUMP,
        "the wall clock jumped by more than {:g} s",
    ),
    (
        lambda seen: seen["stolen"] / seen["took"],
        KEPT_AWAY,
        "the virtual machine was kept from a processor for more than {:.0%} of the time",
    ),
    (
        lambda seen: (seen["waited"] or 0) / seen["took"],
        KEPT_AWAY,
        "something else used a rank's processor for more than {:.0%} of the time",
    ),
    (
        lambda seen: (seen["computed"] - seen["cpu"]) / seen["took"],
        KEPT_AWAY,
        "a rank computed for more than {:.0%} of the time without a processor",
    ),
    (
        lambda seen: 0 if seen["waited"] is not None else seen["switches"] / max(seen["took"], 1),
        SWITCHES,
        "a rank was taken off its processor more than {:g} times a second",
    ),
    (
        lambda seen: seen["unevenness"],
        UNEVEN,
        "the mean round took more than {:g} times the median one",
    ),
)
"""What is measured of a rank, what is allowed, and what it is called: causes before symptoms."""


def disturbances(ranks: list[dict]) -> list[str]:
    """Why the seconds of a case mean little, from what each rank has `seen`; empty if they do.

    The first of CRITERIA that a rank exceeds, since the later ones follow from it, and the host of
    the rank where it is worst.
    """
    for measure, allowed, text in CRITERIA:
        worst = max(ranks, key=measure)
        if measure(worst) > allowed:
            figure = allowed * max(step for step in STEPS if measure(worst) > step * allowed)
            return [f"{worst['host']}: {text.format(figure)}"]
    return []


SUMMED = ("took", "jump", "cpu", "waited", "stolen", "switches")
"""What is added up where a case goes on after a pause."""


class Disturbance:
    """What befalls this process from now on, beside what befell the case in `earlier`, of SUMMED.

    That is a float64 array, changed in place by `note`.
    """

    def __init__(self, earlier: np.ndarray | None = None):
        self._earlier = np.zeros(len(SUMMED)) if earlier is None else earlier
        self._began = _counters()

    def note(self) -> None:
        """Add to `earlier` what was seen since the last time."""
        summed = self._summed()
        self._earlier[:] = [summed[name] or 0.0 for name in SUMMED]
        self._began = _counters()

    def seen(self, clock: Clock) -> dict:
        """Until now, in seconds but for `host`, `switches` and `unevenness`.

        `took` and `cpu`: of this thread's time, and of a processor's for it. `waited`: the longest
        that a thread was ready and did not run, None where the kernel does not tell. `stolen`: the
        most that a processor was taken by the host. `computed`: in phases that do not wait.
        """
        seconds = clock.seconds
        return self._summed() | {
            "host": platform.node(),
            "computed": sum(seconds[phase] for phase in METHOD if phase != "exchange"),
            "unevenness": clock.unevenness(),
        }

    def _summed(self) -> dict:
        now, began = _counters(), self._began
        since = {
            "took": now["monotonic"] - began["monotonic"],
            "jump": now["wall"] - began["wall"] - (now["monotonic"] - began["monotonic"]),
            "cpu": now["cpu"] - began["cpu"],
            "waited": _most(now["waited"], began["waited"]),
            "stolen": _most(now["stolen"], began["stolen"]) or 0.0,
            "switches": now["switches"] - began["switches"],
        }
        earlier = zip(SUMMED, self._earlier.tolist(), strict=True)
        return {k: None if since[k] is None else since[k] + before for k, before in earlier}


def _counters() -> dict:
    return {
        "monotonic": time.perf_counter(),
        "wall": time.time(),
        "cpu": time.thread_time(),
        "waited": _waited(),
        "stolen": _stolen(),
        "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
    }


def _most(now: dict[str, float], began: dict[str, float]) -> float | None:
    return max((now[key] - began[key] for key in now.keys() & began.keys()), default=None)


def _waited() -> dict[str, float]:
    """Seconds by thread of this process, as Linux counts them."""
    try:
        threads = list(Path("/proc/self/task").iterdir())
        return {t.name: int((t / "schedstat").read_text().split()[1]) / 1e9 for t in threads}
    except (OSError, IndexError):
        return {}


def _stolen() -> dict[str, float]:
    """Seconds by processor that this process may use, as Linux counts them."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        fields = (line.split() for line in lines)
        tick = os.sysconf("SC_CLK_TCK")
        return {field[0]: int(field[8]) / tick for field in fields if field[0] in mine}
    except (OSError, AttributeError, IndexError):
        return {}
