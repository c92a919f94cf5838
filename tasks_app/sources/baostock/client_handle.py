"""Starts, uses and kills the child process that BaoStock's client runs in."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from weakref import WeakSet

from tasks_app.sources.base import Transient

SCRIPT = Path(__file__).with_name("client_main.py")
EXIT_SERVER_CLOSED = 3  # as in `client_process`, which can't be imported here


class ClientHandle:
    """Sends one request at a time, from any thread, and never waits longer than `timeout` seconds.

    The child is started when first needed, again after a fork, and again after it was killed. A pipe ties it
    to this process: when this process ends, however it does, the pipe closes and the child ends, too. (The
    kernel's parent-death signal would not work: it follows the *thread* that started the child, and the
    engine's threads are short-lived.)
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        _handles.add(self)

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process else None

    def send(self, **request: Any) -> dict[str, Any]:
        """Returns the child's response. Raises `Transient` when it comes late or not at all."""
        deadline = time.monotonic() + self._timeout
        if not self._lock.acquire(timeout=self._timeout):
            raise Transient("BaoStock takes one request at a time, and another one is in progress.")
        try:
            process = self._start()
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None  # noqa: S101 - both are pipes
            assert stdout is not None  # noqa: S101
            try:
                stdin.write(json.dumps(request).encode() + b"\n")
            except BrokenPipeError as error:
                raise _exit_error(process) from error
            if line := self._read_line(stdout.fileno(), deadline):
                return json.loads(line)  # type: ignore[no-any-return]
            raise _exit_error(process)
        except BaseException:  # a response that was not read would answer the next request
            self._kill()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the child, if there is one."""
        with self._lock:
            self._kill()

    def forget(self) -> None:
        """Drops the child and the lock in a process just forked: they belong to its parent."""
        if process := self._process:
            process.returncode = 0  # not ours to wait for
            _close_pipes(process)
        self._process, self._lock = None, threading.Lock()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            command = [sys.executable, "-P", str(SCRIPT), self._address]
            self._process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process

    def _read_line(self, pipe: int, deadline: float) -> bytes:
        """Returns the response's line, or b"" when the child ended first. Raises `Transient`."""
        poll, parts = select.poll(), [b""]
        poll.register(pipe, select.POLLIN)
        while not parts[-1].endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise Transient(f"BaoStock did not respond within {self._timeout:g} s.", code="timeout")
            parts.append(os.read(pipe, 1 << 16))
            if not parts[-1]:
                return b""
        return b"".join(parts)

    def _kill(self) -> None:
        """Kills the child and waits for it, so that it becomes neither an orphan nor a zombie."""
        if process := self._process:
            self._process = None
            process.kill()
            process.wait()
            _close_pipes(process)


def _exit_error(process: subprocess.Popen[bytes]) -> Transient:
    """Returns why the child ended by itself."""
    if process.wait() == EXIT_SERVER_CLOSED:
        return Transient("BaoStock closed the connection.", code="connection_closed")
    return Transient(f"BaoStock's client ended by itself, with {process.returncode}.")


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


_handles: WeakSet[ClientHandle] = WeakSet()


def _forget_all() -> None:
    for handle in _handles:
        handle.forget()


os.register_at_fork(after_in_child=_forget_all)
