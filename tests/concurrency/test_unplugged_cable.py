"""A network cable to the database is unplugged, in a network namespace: the kernel's time-outs apply."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.concurrency.own_database import on_postgresql
from tests.concurrency.tcp_proxy import linked
from tools.worker_machine import environment

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
    pytest.mark.skipif(not on_postgresql(), reason="PostgreSQL's"),
]
OUR_ADDRESS, REMOTE_ADDRESS = "10.213.47.1", "10.213.47.2"
BOUND_SECONDS = 120  # the settings say 10 to 11; TCP's own default is a quarter of an hour or more

# Two connections: one waits for the end of a query, the other sends one when it is told to.
ASK = """
import os, sys, threading, django
django.setup()
from django.db import OperationalError, connection
connected, told = threading.Semaphore(0), threading.Event()

def ask(name, may_ask):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        connected.release()
        may_ask()
        try:
            cursor.execute("SELECT pg_sleep(600)")
        except OperationalError:
            os.write(1, f"{name} noticed\\n".encode())  # print() makes several writes, which mix

for name, may_ask in (("waiting", lambda: None), ("sending", told.wait)):
    threading.Thread(target=ask, args=(name, may_ask)).start()
    connected.acquire()
print("connected", flush=True)
sys.stdin.readline()
told.set()
"""


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a network of its own: ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def remote_host() -> Iterator[str]:
    """Yields the name of a network namespace at the other end of a virtual cable."""
    name = f"remote{os.getpid()}"
    ours, theirs = f"local{os.getpid()}", f"cable{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        ip("addr", "add", f"{OUR_ADDRESS}/30", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", name, "addr", "add", f"{REMOTE_ADDRESS}/30", "dev", theirs)
        ip("-n", name, "link", "set", theirs, "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def unplug() -> None:
    """Takes our address away. Neither end is told; what the remote host sends reaches nobody."""
    ip("addr", "del", f"{OUR_ADDRESS}/30", "dev", f"local{os.getpid()}")


def test_unplugged_cable_is_noticed_by_both_connections(database_url: str) -> None:
    """By keep-alives when all was acknowledged, by tcp_user_timeout when something was not."""
    if not os.access("/usr/sbin/ip", os.X_OK) and not os.access("/sbin/ip", os.X_OK):
        pytest.skip("needs the command ip (Debian: iproute2)")
    with remote_host() as host, linked(database_url, OUR_ADDRESS) as link:
        client = subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-c", ASK],
            env=environment(link.url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout
            assert client.stdout.readline() == "connected\n"
            unplug()
            said, _ = client.communicate("now\n", timeout=BOUND_SECONDS)
            assert sorted(said.splitlines()) == ["sending noticed", "waiting noticed"]
        finally:
            client.kill()
            client.wait()
