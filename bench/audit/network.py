"""Hosts on one machine: network namespaces, each with a link of its own to a bridge. For root."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
"""Root's programs are not on everybody's path."""

SHAPE = "burst 64kb latency 200ms"
"""Of the token bucket: a burst far below what a case sends, a queue of a fifth of a second."""

STILL = 0.4
"""Seconds without a byte after which the queues are taken to be empty: twice the longest queue."""

PROBE = f"""
ip link add left type veth peer name right &&
ip link add middle type bridge &&
tc qdisc add dev left root tbf rate 1mbit {SHAPE}
"""


def unavailable() -> str | None:
    """Why this machine cannot make such a network; None if it can."""
    if os.geteuid():
        return "network namespaces need root"
    missing = [p for p in ("ip", "tc", "unshare") if not shutil.which(p, path=ENVIRONMENT["PATH"])]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: iproute2, util-linux)"
    probe = ["unshare", "--net", "--mount", "--uts", "sh", "-c", PROBE]
    done = subprocess.run(probe, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        return f"no network namespaces, veth, bridge or tbf here: {done.stderr.strip()}"
    return None


class Network:
    """`hosts` namespaces and the one of the bridge, where mpirun runs; `running` makes one."""

    def __init__(self, hosts: int):
        self.name, self.hosts = f"mlr{os.getpid()}", hosts

    def host(self, number: int) -> str:
        return f"{self.name}-{number}"

    @property
    def hub(self) -> str:
        return f"{self.name}-hub"

    @property
    def namespaces(self) -> list[str]:
        return [self.hub, *(self.host(number) for number in range(1, self.hosts + 1))]

    def mpirun(self, launcher: str, command: list[str], cwd: Path, seconds: float) -> None:
        """Run a command under MPICH's mpirun, a rank a host, over TCP alone.

        Raises CalledProcessError, or TimeoutExpired after `seconds`.
        """
        addresses = ",".join(f"10.77.0.{number}" for number in range(1, self.hosts + 1))
        reach = ["-launcher", "rsh", "-launcher-exec", str(Path(__file__).with_name("on_host.sh"))]
        place = ["-localhost", "10.77.0.254", "-hosts", addresses, "-ppn", "1"]
        _ip(
            *("netns", "exec", self.hub, launcher, *reach, *place, "-n", str(self.hosts), *command),
            cwd=cwd,
            timeout=seconds,
            env=ENVIRONMENT
            | {"AUDIT_NETWORK": self.name, "OMP_NUM_THREADS": "1"}
            | {"FI_PROVIDER": "tcp", "MPIR_CVAR_CH4_NETMOD": "ofi", "MPIR_CVAR_NOLOCAL": "1"},
        )

    def sent_bytes(self) -> int:
        """What the kernel has counted on all hosts' links, sent, once nothing moves any more."""
        before, now = -1, self._sent_bytes()
        while now > before:
            time.sleep(STILL)
            before, now = now, self._sent_bytes()
        return now

    def _sent_bytes(self) -> int:
        return sum(
            json.loads(_ip("-n", self.host(number), "-s", "-j", "link", "show", "eth0"))[0][
                "stats64"
            ]["tx"]["bytes"]
            for number in range(1, self.hosts + 1)
        )


@contextmanager
def running(hosts: int, rate: str | None) -> Iterator[Network]:
    """A Network whose links have this rate both ways ("10mbit", None: not shaped), then gone."""
    network = Network(hosts)
    try:
        _make_hub(network)
        for number in range(1, hosts + 1):
            _make_host(network, number, rate)
        yield network
    finally:
        for namespace in network.namespaces:
            _remove(namespace)


def _make_hub(network: Network) -> None:
    _ip("netns", "add", network.hub)
    in_hub = "-n", network.hub
    _ip(*in_hub, "link", "add", "bridge", "type", "bridge")
    _ip(*in_hub, "address", "add", "10.77.0.254/24", "dev", "bridge")
    for device in ("bridge", "lo"):
        _ip(*in_hub, "link", "set", device, "up")


def _make_host(network: Network, number: int, rate: str | None) -> None:
    host, port = network.host(number), f"port{number}"
    in_hub, in_host = ("-n", network.hub), ("-n", host)
    _ip("netns", "add", host)
    peer = "peer", "name", "eth0", "netns", host
    _ip(*in_hub, "link", "add", port, "type", "veth", *peer)
    _ip(*in_hub, "link", "set", port, "master", "bridge", "up")
    _ip(*in_host, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
    for device in ("eth0", "lo"):
        _ip(*in_host, "link", "set", device, "up")
    if rate:
        for namespace, device in ((network.hub, port), (host, "eth0")):
            bucket = "root", "tbf", "rate", rate, *SHAPE.split()
            _call("tc", "-n", namespace, "qdisc", "add", "dev", device, *bucket)


def _remove(namespace: str) -> None:
    """End what still runs there, and delete it with its links."""
    if not Path("/run/netns", namespace).exists():
        return
    for process in _ip("netns", "pids", namespace).split():
        try:
            os.kill(int(process), signal.SIGKILL)
        except ProcessLookupError:
            continue  # has ended by itself
    _ip("netns", "delete", namespace)


def _ip(*arguments: str, **options) -> str:
    return _call("ip", *arguments, **options)


def _call(*command: str, **options) -> str:
    options = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL} | options
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout
