"""Two worker machines of different names: a network namespace each, joined to this machine by a bridge.

Needs the right to make namespaces (root on Linux) and iproute2.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

NETWORK = "10.116"  # the third number is of the process, so that two drills do not meet
HOSTS = ("worker-a", "worker-b")


def lacking() -> str:
    """Returns why the machines can't be made here; "" if they can."""
    missing = [name for name in ("ip", "unshare") if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if os.geteuid():
        return "network namespaces need root"
    done = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


class Network:
    """The addresses of the drill, and how a program is started on one of its machines."""

    def __init__(self) -> None:
        self.number = os.getpid()
        prefix = f"{NETWORK}.{self.number % 254}"
        self.bridge = f"drill{self.number}"[:15]
        self.subnet, self.address = f"{prefix}.0/24", f"{prefix}.1"
        self.addresses = {name: f"{prefix}.{number}" for number, name in enumerate(HOSTS, start=11)}

    def namespace(self, host: str) -> str:
        return f"{host}-{self.number}"

    def on(self, host: str) -> Sequence[str]:
        """Returns what to write before a command, so that it runs on a machine; the process id stays."""
        uts = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]
        return ["ip", "netns", "exec", self.namespace(host), *uts]


@contextmanager
def network() -> Iterator[Network]:
    """Makes the bridge and the namespaces, and removes them."""
    net = Network()
    with ExitStack() as stack:
        _ip("link", "add", net.bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", net.bridge)
        _ip("addr", "add", f"{net.address}/24", "dev", net.bridge)
        _ip("link", "set", net.bridge, "up")
        for index, (host, address) in enumerate(net.addresses.items()):
            space, cable = net.namespace(host), f"{net.bridge}{'ab'[index]}"[-15:]
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "del", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", net.bridge, "up")
            for command in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
                _ip("-n", space, *command)
            _ip("-n", space, "link", "set", "lo", "up")
        yield net


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
