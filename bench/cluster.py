"""A Slurm of one machine: its daemons on the loopback device, its state in one folder, for root."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

NODES = ("n1", "n2", "n3")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "srun", "unshare")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"}

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=3600
SlurmdTimeout=20
ReturnToService=2
MailProg=/bin/true
NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=n2 NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
NodeName=n3 NodeHostname=n3 NodeAddr=127.0.0.1 Port={ports[3]} CPUs=2 State=UNKNOWN
PartitionName=two Nodes=n1,n2 Default=YES State=UP
PartitionName=one Nodes=n3 State=UP
PartitionName=all Nodes=n1,n2,n3 State=UP
"""


class Slurm:
    """Slurm's client commands."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment

    def call(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What `command` prints; CalledProcessError if it fails."""
        options = {"env": self.environment, "cwd": cwd, "text": True, "timeout": 30}
        return subprocess.run(
            command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True, **options
        ).stdout.strip()

    def submit(self, *arguments: str | Path, cwd: Path) -> str:
        """The number of the job that `sbatch` makes of `arguments` in `cwd`."""
        return self.call("sbatch", "--parsable", *arguments, cwd=cwd)

    def tasks(self, number: str) -> list[dict[str, str]]:
        """What Slurm knows of a job, or of each task of an array: JobState, NodeList, ..."""
        lines = self.call("scontrol", "show", "job", "--oneliner", number).splitlines()
        return [dict(word.split("=", 1) for word in one.split() if "=" in word) for one in lines]

    def wait(self, number: str, seconds: float) -> list[dict[str, str]]:
        """The job's tasks once all have ended, in whatever state; TimeoutError if they do not."""
        until(lambda: self._ended(number), seconds, f"the end of job {number}")
        return self.tasks(number)

    def _ended(self, number: str) -> bool:
        return all(task["JobState"] in ENDED for task in self.tasks(number))


class Cluster(Slurm):
    """Talks to the daemons that `running` started in `folder`."""

    def __init__(self, folder: Path, stack: ExitStack, says: int | None):
        super().__init__(os.environ | {"SLURM_CONF": str(folder / "slurm.conf")})
        self._stack, self._says = stack, says
        self._slurmd: dict[str, subprocess.Popen] = {}

    def start(self, *command: str) -> subprocess.Popen:
        """Start a daemon that ends with the cluster."""
        talk = {"stdin": subprocess.DEVNULL, "stdout": self._says, "stderr": self._says}
        process = subprocess.Popen(command, env=self.environment, **talk)
        self._stack.callback(_stop, process)
        return process

    def boot(self, node: str) -> None:
        """Start a node. Its own host name makes it: what runs there calls itself n1, n2 or n3."""
        command = f"hostname {node}; exec slurmd -D -N {node}"
        self._slurmd[node] = self.start("unshare", "--uts", "sh", "-c", command)

    def crash(self, node: str) -> None:
        """End all that runs on the node, its daemon first, with SIGKILL: as if its power went."""
        slurmd = self._slurmd.pop(node)
        there = _host(slurmd.pid)
        if there in ("", _host(os.getpid())):
            raise RuntimeError(f"{node} has no daemon with a host name of its own")
        slurmd.kill()
        while others := [pid for pid in _processes() if _host(pid) == there]:
            for pid in others:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def idle(self) -> bool:
        """Whether all nodes wait for work."""
        lines = self.call("scontrol", "show", "node", "--oneliner").splitlines()
        return sum("State=IDLE " in line for line in lines) == len(NODES)


@contextmanager
def running(folder: Path, says: int | None = None):
    """A Cluster: n1 and n2 with one core each are the partition `two`, n3 with two cores is `one`.

    The partition `all` has all three. Its daemons end with the context, jobs first; what they say
    goes where `says` tells subprocess, by default to the caller's own output.
    """
    _configure(folder)
    with ExitStack() as stack:
        cluster = Cluster(folder, stack, says)
        cluster.start("munged", *_munge_options(folder))
        until((folder / "munge.socket").is_socket, 10, "munged")
        cluster.start("slurmctld", "-D", "-c")
        for node in NODES:
            cluster.boot(node)
        until(cluster.idle, 30, "idle nodes")
        stack.callback(_end_jobs, cluster)
        yield cluster


def _configure(folder: Path) -> None:
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    text = CONFIGURATION.format(host=socket.gethostname(), folder=folder, ports=_free_ports(4))
    (folder / "slurm.conf").write_text(text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _munge_options(folder: Path) -> list[str]:
    names = {"socket": "socket", "pid-file": "pid", "seed-file": "seed", "key-file": "key"}
    # Forced: that the folder is closed to other users is what munged would refuse.
    return ["--foreground", "--force", f"--log-file={folder}/munge.log"] + [
        f"--{option}={folder}/munge.{suffix}" for option, suffix in names.items()
    ]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _host(pid: int) -> str:
    """What the process's host name belongs to; nothing once it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/uts")
    except OSError:
        return ""


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_jobs(cluster: Cluster) -> None:
    cluster.call("scancel", "--user=root")
    until(lambda: not cluster.call("squeue", "-h"), 40, "the end of the jobs")


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Ask `true()` until it is; TimeoutError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)
