"""The memory of a worker process is limited from outside, while it is busy."""

import mmap
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from multiprocessing.synchronize import Event

import pytest

from tasks_app.workers import memory
from tasks_app.workers.memory import MEGABYTE
from tasks_app.workers.process_state import ProcessState
from tasks_app.workers.supervisor import Supervisor, forks
from tools.worker_machine import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
LIMIT = 60  # megabytes
SWELL = r"""
import re
taken = []
print(1, flush=True)
input()
try:
    while True:
        taken.append(bytearray(100_000))
except MemoryError:
    taken.clear()
    status = open("/proc/self/status").read()
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024, flush=True)
    input()
    print(len(bytearray(10_000_000)), flush=True)
"""
SHARE = """
import mmap
taken = mmap.mmap(-1, 80_000_000)
taken.write(bytes(80_000_000))
print(1, flush=True)
input()
"""


def python(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: "subprocess.Popen[str]") -> int:
    assert process.stdout
    return int(process.stdout.readline())


def test_process_gets_a_memory_error_below_the_limit_and_goes_on():
    with python(SWELL) as process:
        answer(process)
        usage = memory.read_usage(process.pid)
        assert usage
        assert memory.limit(process.pid, LIMIT) <= 1
        tell(process)
        assert usage.resident < answer(process) <= LIMIT * MEGABYTE
        assert memory.limit(process.pid, LIMIT) <= 1
        tell(process)
        assert answer(process) == 10_000_000, "there is room again"


def test_process_with_shared_memory_above_the_limit_is_found():
    with python(SHARE) as process:
        answer(process)
        assert memory.limit(process.pid, LIMIT) > 80 / LIMIT
        assert memory.limit(process.pid, 1000) <= 1
        tell(process)


def test_limit_of_an_ended_process_does_nothing():
    process = python("")
    process.communicate()
    assert memory.read_usage(process.pid) is None
    assert memory.limit(process.pid, LIMIT) == 0


def test_memory_is_scarce_near_the_resource_limit_only(monkeypatch):
    assert not memory.is_scarce()
    usage = memory.read_usage(os.getpid())
    assert usage
    for left, is_scarce in ((20, True), (50, False)):
        limits = usage.data + left * MEGABYTE, resource.RLIM_INFINITY
        monkeypatch.setattr(memory.resource, "getrlimit", lambda _, limits=limits: limits)
        assert memory.is_scarce() is is_scarce


def hold_shared_memory(is_ready: Event) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    taken = mmap.mmap(-1, 200 * MEGABYTE)
    taken.write(bytes(200 * MEGABYTE))
    is_ready.set()
    signal.pause()


def test_process_is_limited_during_a_drain_too(settings):
    usage, is_ready = memory.read_usage(os.getpid()), forks.Event()
    assert usage
    limit = usage.resident // MEGABYTE + LIMIT
    settings.COLLECTOR = replace(settings.COLLECTOR, worker_memory=limit)
    supervisor = Supervisor(workers=0)
    supervisor._add("worker-1", ProcessState(), hold_shared_memory, is_ready)
    (process,) = supervisor.processes
    assert is_ready.wait(PATIENCE)
    assert not supervisor._drain()
    assert process.is_out_of_memory
    process.kill()
