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

PREFIX = f"mlr{os.getpid()}-"
"""Of the names of this process's namespaces, so that nobody else's are met."""

SUBNET, HUB = "10.77.0", 254
"""Host i is SUBNET.i; nobody outside the namespaces sees these addresses."""

BUCKET = ["burst", "64kb", "latency", "200ms"]
"""Of tc's tbf: what passes at once is far less than what a run sends, and the queue is short."""

STILL = 0.4
"""Seconds without a byte sent after which the queues count as empty: twice the longest queue."""

PROBE = f"""
ip link add left type veth peer name right &&
ip link add middle type bridge &&
tc qdisc add dev left root tbf rate 1mbit {" ".join(BUCKET)}
"""


def unavailable() -> str | None:
    """Why this machine cannot make such a network; None if it can."""
    if os.geteuid():
        return "network namespaces need root"
    missing = [p for p in ("ip", "tc", "unshare") if not shutil.which(p, path=ENVIRONMENT["PATH"])]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: iproute2 and util-linux)"
    probe = ["unshare", "--net", "--mount", "--uts", "sh", "-c", PROBE]
    done = subprocess.run(probe, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        return f"no namespaces with veth, bridge and tbf here: {done.stderr.strip()}"
    return None


class Network:
    """`hosts` namespaces, and one for the bridge between them, where mpirun starts."""

    def __init__(self, hosts: int):
        self.hub = f"{PREFIX}hub"
        self.hosts = [f"{PREFIX}{number}" for number in range(1, hosts + 1)]

    def mpirun(self, launcher: str, command: list[str], cwd: Path, seconds: float) -> None:
        """Run a command under MPICH's `launcher`, a rank a host, over TCP alone.

        Raises RuntimeError if it fails, TimeoutExpired after `seconds`.
        """
        addresses = ",".join(f"{SUBNET}.{i}" for i, _ in enumerate(self.hosts, 1))
        reach = ["-launcher", "rsh", "-launcher-exec", str(Path(__file__).with_name("on_host.sh"))]
        place = ["-localhost", f"{SUBNET}.{HUB}", "-hosts", addresses, "-ppn", "1"]
        tcp = {"FI_PROVIDER": "tcp", "MPIR_CVAR_CH4_NETMOD": "ofi", "MPIR_CVAR_NOLOCAL": "1"}
        one_thread = {"OMP_NUM_THREADS": "1"}
        environment = ENVIRONMENT | {"AUDIT_PREFIX": PREFIX} | tcp | one_thread
        inside = ["ip", "netns", "exec", self.hub]
        started = [*inside, launcher, *reach, *place, "-n", str(len(self.hosts)), *command]
        _call(*started, cwd=cwd, timeout=seconds, env=environment)

    def sent_bytes(self) -> int:
        """What all hosts' links have sent by the kernel's count, once nothing moves any more."""
        before, now = -1, self._sent_bytes()
        while now > before:
            time.sleep(STILL)
            before, now = now, self._sent_bytes()
        return now

    def _sent_bytes(self) -> int:
        return sum(_sent_bytes(host) for host in self.hosts)


@contextmanager
def running(hosts: int, rate: str | None) -> Iterator[Network]:
    """A Network whose links have this rate both ways (tc's, None: not shaped); gone afterwards."""
    network = Network(hosts)
    try:
        _make_hub(network.hub)
        for number, host in enumerate(network.hosts, 1):
            _make_host(network.hub, host, number, rate)
        yield network
    finally:
        for namespace in (*network.hosts, network.hub):
            _remove(namespace)


def _make_hub(hub: str) -> None:
    _ip("netns", "add", hub)
    _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
    _ip("-n", hub, "address", "add", f"{SUBNET}.{HUB}/24", "dev", "bridge")
    _up(hub, "bridge", "lo")


def _make_host(hub: str, host: str, number: int, rate: str | None) -> None:
    port = f"port{number}"
    _ip("netns", "add", host)
    peer = ["peer", "name", "eth0", "netns", host]
    _ip("-n", hub, "link", "add", port, "type", "veth", *peer)
    _ip("-n", hub, "link", "set", port, "master", "bridge")
    _ip("-n", host, "address", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
    _up(hub, port)
    _up(host, "eth0", "lo")
    if rate:
        for namespace, device in ((hub, port), (host, "eth0")):
            shape = ["root", "tbf", "rate", rate, *BUCKET]
            _call("tc", "-n", namespace, "qdisc", "add", "dev", device, *shape)


def _up(namespace: str, *devices: str) -> None:
    for device in devices:
        _ip("-n", namespace, "link", "set", device, "up")


def _sent_bytes(host: str) -> int:
    (link,) = json.loads(_ip("-n", host, "-s", "-j", "link", "show", "eth0"))
    return link["stats64"]["tx"]["bytes"]


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


def _ip(*arguments: str) -> str:
    return _call("ip", *arguments)


def _call(*command: str, env: dict[str, str] = ENVIRONMENT, **options) -> str:
    options |= {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run(command, env=env, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr}")
    return done.stdout
