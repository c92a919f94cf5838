"""The child process that BaoStock's client lives in, and its end when it does not answer in time."""

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

CHILD = Path(__file__).with_name("client_process.py")
CLOSED = 3  # the child's exit code when the server hung up


class Child:
    """Asks one thing at a time, from any thread, and never waits longer than `timeout` seconds.

    The child is started when first needed, anew after a fork, and again after it was killed. A pipe
    ties it to this process: closed by whatever way this process ends, it ends the child, too. (The
    kernel's parent-death signal would not do: it follows the *thread* that started the child, and
    the engine's threads are short-lived.)
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        _children.add(self)

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process else None

    def ask(self, **question: Any) -> dict[str, Any]:
        """The child's answer. Raises `Transient` when it comes late or not at all."""
        deadline = time.monotonic() + self._timeout
        if not self._lock.acquire(timeout=self._timeout):
            raise Transient("BaoStock takes one request at a time, and another one is under way.")
        try:
            return self._exchange(json.dumps(question).encode() + b"\n", deadline)
        except BaseException:  # an answer that nobody reads would be the next question's
            self._kill()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._kill()

    def forget(self) -> None:
        """In a process just forked: the child, and the lock, belong to the one it was copied from."""
        if process := self._process:
            process.returncode = 0  # not ours to wait for
            _close_pipes(process)
        self._process, self._lock = None, threading.Lock()

    def _exchange(self, question: bytes, deadline: float) -> dict[str, Any]:
        process = self._running()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None  # noqa: S101 - both are pipes
        assert stdout is not None  # noqa: S101
        try:
            stdin.write(question)
        except BrokenPipeError as error:
            raise _ended(process) from error
        if line := self._read(stdout.fileno(), deadline):
            return json.loads(line)  # type: ignore[no-any-return]
        raise _ended(process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            command = [sys.executable, "-P", str(CHILD), self._address]
            self._process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process

    def _read(self, pipe: int, deadline: float) -> bytes:
        """The answer's line; b"" when the child ended first."""
        poll, parts = select.poll(), [b""]
        poll.register(pipe, select.POLLIN)
        while not parts[-1].endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise Transient(f"BaoStock did not answer within {self._timeout:g} s.", code="timeout")
            parts.append(os.read(pipe, 1 << 16))
            if not parts[-1]:
                return b""
        return b"".join(parts)

    def _kill(self) -> None:
        """Kill the child and wait for it, so that it is neither orphan nor zombie."""
        if process := self._process:
            self._process = None
            process.kill()
            process.wait()
            _close_pipes(process)


def _ended(process: subprocess.Popen[bytes]) -> Transient:
    """Why the child ended by itself."""
    if process.wait() == CLOSED:
        return Transient("BaoStock closed the connection.", code="connection_closed")
    return Transient(f"BaoStock's client ended by itself, with {process.returncode}.")


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


_children: WeakSet[Child] = WeakSet()


def _forget_all() -> None:
    for child in _children:
        child.forget()


os.register_at_fork(after_in_child=_forget_all)
