"""The terminal on which the user watches, behind a launcher as well."""

import os
import sys
from pathlib import Path
from typing import TextIO

LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "hydra_pmi_proxy", "prterun", "orterun")


def terminal() -> TextIO | None:
    """The terminal on which the user watches the run, open for writing; None if there is none.

    A launcher passes its ranks' output through pipes, in a session of their own: the terminal is
    the standard error of the launcher, if that is on this machine.
    """
    if sys.stderr.isatty():
        return sys.stderr
    launcher = None
    process = os.getppid()
    while _name(process) in LAUNCHERS:
        launcher, process = process, _parent(process)
    try:
        path = os.readlink(f"/proc/{launcher}/fd/2")
        return open(path, "w") if path.startswith(("/dev/pts/", "/dev/tty")) else None
    except OSError:
        return None


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(process: int) -> int:
    # The name, in brackets, may hold spaces; the parent is the second field behind it.
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
