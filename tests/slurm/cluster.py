"""A Slurm of one machine: its daemons on the loopback device, its state in one folder, for root."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

NODES = ("n1", "n2", "n3")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "srun", "unshare")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"}

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
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
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
KillWait=2
MailProg=/bin/true
NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=n2 NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
NodeName=n3 NodeHostname=n3 NodeAddr=127.0.0.1 Port={ports[3]} CPUs=2 State=UNKNOWN
PartitionName=two Nodes=n1,n2 Default=YES State=UP
PartitionName=one Nodes=n3 State=UP
"""


class Cluster:
    """Slurm's client commands, talking to the daemons that `running` started in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def call(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What `command` prints; CalledProcessError if it fails."""
        options = {"env": self.environment, "cwd": cwd, "text": True, "timeout": 30}
        return subprocess.run(
            command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True, **options
        ).stdout.strip()

    def submit(self, partition: str, script: Path, *arguments: str, cwd: Path) -> str:
        """The number of the job that runs `script` in `cwd` on nodes of `partition`."""
        return self.call("sbatch", "--parsable", "-p", partition, script, *arguments, cwd=cwd)

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job: JobState, NodeList, ExitCode, ..."""
        words = self.call("scontrol", "show", "job", "--oneliner", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, number: str, seconds: float) -> dict[str, str]:
        """The job once it has ended, in whatever state; AssertionError when it does not."""
        until(lambda: self.job(number)["JobState"] in ENDED, seconds, f"the end of job {number}")
        return self.job(number)

    def idle(self) -> bool:
        """Whether all nodes wait for work."""
        lines = self.call("scontrol", "show", "node", "--oneliner").splitlines()
        return sum("State=IDLE " in line for line in lines) == len(NODES)


@contextmanager
def running(folder: Path):
    """A Cluster: n1 and n2 with one core each are the partition `two`, n3 with two cores is `one`.

    Its daemons end with the context, jobs first.
    """
    cluster = Cluster(folder)
    _configure(folder)
    with ExitStack() as stack:
        start = partial(_daemon, stack, cluster.environment)
        start("munged", *_munge_options(folder))
        until((folder / "munge.socket").is_socket, 10, "munged")
        start("slurmctld", "-D", "-c")
        for node in NODES:
            # Its own host name makes a node: what runs there calls itself n1, n2 or n3.
            start("unshare", "--uts", "sh", "-c", f"hostname {node}; exec slurmd -D -N {node}")
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


def _daemon(stack: ExitStack, environment: dict, *command: str) -> None:
    """Start a daemon that ends with `stack`; what it says is the test's output."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_jobs(cluster: Cluster) -> None:
    cluster.call("scancel", "--user=root")
    until(cluster.idle, 20, "the end of the jobs")


def until(true, seconds: float, what: str) -> None:
    """Ask `true()` until it is; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.2)
