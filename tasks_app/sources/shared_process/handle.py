"""The caller's side of a process that all processes of this machine share, one request at a time.

A vendor's client is kept there for one of three reasons: it may hang for ever and must be killable, it takes
much memory (pandas) that need not be in every worker, or it keeps a session of which the vendor allows one.
"""

import hashlib
import logging
import os
import pickle
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from tasks_app.sources.base import Transient, take_permit
from tasks_app.sources.permits import awaiting_turn

IS_SUPPORTED = fcntl is not None and hasattr(socket, "AF_UNIX")
ROOT = Path(__file__).resolve().parents[3]
LENGTH = struct.Struct("!Q")  # before each message
RESPONSE, LAST_RESPONSE, PERMIT, LINE = "response", "last response", "permit", "line"  # kinds of `Message`
NO_TURN = "no_turn"  # the code of a request that was not sent, since others took all of its time
MEGABYTE = 1_000_000
WATCH_SECONDS = 0.1  # between two looks at the memory of a process that works for us
TURN_SECONDS = 0.01
END_SECONDS = 5.0  # for the kernel to end a process that was killed
TRIES = 3  # a process may be about to end when we connect
RECYCLE_SHARE = 0.75  # of the limit of memory: above it the process is replaced between two requests


class ProcessHandle:
    """Sends requests to the shared process, from any thread, and never waits longer than `timeout` seconds.

    The process asks for the permit of each request to the vendor, that of a call's first one, too: one that
    the engine had taken before would be lost while the call waits for its turn. The time that the process
    waits for permits (`base.take_permit`) does not count, nor does the wait for the requests of others, of
    which each may take its own time.

    The process is found by its socket in a folder that only this user can enter. Whoever needs it first
    starts it; it ends as soon as nobody is connected, however those processes ended, so it can't become an
    orphan. (The kernel's parent-death signal would not do: it follows one thread of one parent.) A lock on a
    file makes requests take turns, so a process that is killed because it is late works for nobody else.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        vendor: str,
        timeout: float,
        key: Sequence[str] = (),
        megabytes: int = 0,
    ) -> None:
        """`module` is run with the arguments; processes with another `key` are not shared.

        `megabytes` limits the memory of the shared process; 0: no limit.
        """
        self._module, self._arguments, self._vendor = module, arguments, vendor
        self._timeout, self._limit = timeout, megabytes * MEGABYTE
        identity = repr((sys.executable, str(ROOT), module, arguments, *key))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self._name = f"{re.sub(r'[^a-z0-9]', '_', vendor.lower())[:20]}-{digest}"
        self._connection: socket.socket | None = None
        self._pid = 0
        self._started: subprocess.Popen[bytes] | None = None
        _handles.add(self)

    @property
    def pid(self) -> int | None:
        """The process id of the shared process; None while this handle is not connected to one."""
        return self._pid if self._connection else None

    def send(self, request: Any, seconds: float | None = None) -> Any:
        """Returns the response to a request, both of which must be picklable.

        Raises `Transient` when it comes late or not at all, with the code `NO_TURN` when others did not leave
        it a turn in this time, and `MemoryError` when it takes too much.
        """
        seconds = self._timeout if seconds is None else seconds
        with self._turn(seconds) as folder:
            deadline = time.monotonic() + seconds
            try:
                connection = self._connect(folder, deadline)
                _send(connection, request)
                while (message := self._receive_message(deadline)).kind in (PERMIT, LINE):
                    if message.kind == LINE:
                        _log_line(*message.content)
                        continue
                    reply = partial(_reply_to_permit, connection, message.content)
                    deadline += _seconds_of(reply)
            except (_Ended, ConnectionError) as error:
                self._kill()
                raise Transient(f"{self._vendor}'s client ended by itself.") from error
            except BaseException:  # a response that was not read would answer the next request
                self._kill()
                raise
            if message.kind == LAST_RESPONSE or (
                self._limit and resident_bytes(self._pid) > RECYCLE_SHARE * self._limit
            ):
                self._kill()
            return message.content

    def close(self) -> None:
        """Disconnects; the process ends if nobody else is connected."""
        if connection := self._connection:
            self._connection, self._pid = None, 0
            connection.close()
        if self._started:
            self._started.poll()  # reaps it if it has ended

    def forget(self) -> None:
        """Drops what a process just forked has from its parent."""
        if self._started:
            self._started.returncode = 0  # not ours to wait for
        self._started = None
        self.close()

    @contextmanager
    def _turn(self, seconds: float) -> Iterator[Path]:
        """Context in which no other thread or process of this machine sends requests."""
        folder = runtime_folder()
        descriptor = os.open(folder / f"{self._name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(descriptor):
                self._await_turn(descriptor, time.monotonic() + seconds)
            yield folder
        finally:
            os.close(descriptor)  # which releases the lock

    def _await_turn(self, descriptor: int, deadline: float) -> None:
        with awaiting_turn() as require:
            while not _lock(descriptor):
                require()
                if time.monotonic() > deadline:
                    text = f"{self._vendor} takes one request at a time, and another one is in progress."
                    raise Transient(text, code=NO_TURN)
                time.sleep(TURN_SECONDS)

    def _connect(self, folder: Path, deadline: float) -> socket.socket:
        """Returns the connection to the running process; starts one if need be. Raises `_Ended`."""
        if self._connection and not _is_closed(self._connection):
            return self._connection
        path = folder / f"{self._name}.sock"
        for _ in range(TRIES):
            self.close()
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                self._start(path)
                self._connection.connect(str(path))
            with suppress(_Ended, ConnectionResetError):  # it was about to end, since nobody was connected
                (self._pid,) = LENGTH.unpack(self._receive(LENGTH.size, deadline))
                return self._connection
        raise _Ended

    def _start(self, path: Path) -> None:
        """Starts the process, with its listening socket: it can be connected to at once."""
        path.unlink(missing_ok=True)
        modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, _log(path) as log:
            listener.bind(str(path))
            listener.listen(64)
            number = listener.fileno()
            self._started = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, str(number), *self._arguments],
                env={**os.environ, "PYTHONPATH": modules},
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=log,  # never our own: whoever reads that would wait for the shared process to end
                stderr=log,
                start_new_session=True,  # it serves others, too, when this process's group is killed
            )

    def _receive_message(self, deadline: float) -> "Message":
        (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline))
        return Message(*pickle.loads(self._receive(length, deadline)))  # noqa: S301 - our own process

    def _receive(self, length: int, deadline: float) -> bytes:
        """Returns so many bytes. Raises `_Ended`, `Transient` or `MemoryError`."""
        connection, received = self._connection, bytearray()
        assert connection  # noqa: S101 - it was just made
        while len(received) < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Transient(f"{self._vendor} did not respond within {self._timeout:g} s.", code="timeout")
            if wait_readable(connection, min(left, WATCH_SECONDS)):
                part = connection.recv(min(length - len(received), 1 << 20))
                if not part:
                    raise _Ended
                received += part
            self._check_memory()
        return bytes(received)

    def _is_swollen(self) -> bool:
        return bool(self._limit) and resident_bytes(self._pid) > RECYCLE_SHARE * self._limit

    def _check_memory(self) -> None:
        """Raises `MemoryError` when the process is above its limit: a busy one can't watch itself."""
        if self._limit and self._pid and (used := resident_bytes(self._pid)) > self._limit:
            raise MemoryError(f"{self._vendor}'s client takes {used // MEGABYTE} MB")

    def _kill(self) -> None:
        """Kills the process, if it still runs, and waits until it is gone with all its connections."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        pid, self._pid = self._pid, 0
        if not pid and self._started and self._started.poll() is None:
            pid = self._started.pid  # it has not even said who it is
        with connection:
            if pid and not _is_closed(connection):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            connection.settimeout(END_SECONDS)
            with suppress(OSError):
                while connection.recv(1 << 16):
                    continue
        if self._started and self._started.pid == pid:
            with suppress(subprocess.TimeoutExpired):
                self._started.wait(END_SECONDS)


class Message(NamedTuple):
    """What the shared process sends: a response, the last one before it ends, a wish for permits, or a line
    of the log: the name of its logger, its level and its text.
    """

    kind: str
    content: Any


def _send(connection: socket.socket, content: Any) -> None:
    packed = pickle.dumps(content)
    connection.sendall(LENGTH.pack(len(packed)) + packed)


def _reply_to_permit(connection: socket.socket, cost: int) -> None:
    """Takes a permit in this thread. Replies with why there is none, None if there is."""
    try:
        take_permit(cost)
    except Transient as error:
        _send(connection, (str(error), error.code, error.retry_after))
    else:
        _send(connection, None)


def _log_line(name: str, level: int, text: str) -> None:
    """Writes what the client has logged into this process's log, with the fields of the request."""
    logging.getLogger(name).log(level, "%s", text)


def _seconds_of(wait: Callable[[], None]) -> float:
    """Returns how long a wait took, which is no time of the request."""
    began = time.monotonic()
    wait()
    return time.monotonic() - began


class _Ended(Exception):
    """The shared process ended before it responded."""


def runtime_folder() -> Path:
    """Returns the folder of the sockets and locks. Raises `Transient` if somebody else can enter it."""
    folder = Path(tempfile.gettempdir()) / f"collector-processes-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = os.stat(folder, follow_symlinks=False)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Transient(f"The folder {folder.name} in TMPDIR must belong to this user alone.")
    return folder


def wait_readable(connection: socket.socket, seconds: float) -> bool:
    """Returns whether the connection can be read, or is closed, within the seconds."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def resident_bytes(pid: int) -> int:
    """Returns the physical memory of a process; 0 if it has ended, and where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _is_closed(connection: socket.socket) -> bool:
    """Returns whether the other end is closed; nothing is sent that was not asked for."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _lock(descriptor: int) -> bool:
    """Returns whether the lock of the file was free, and now is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _log(path: Path) -> Iterator[int]:
    """Yields a file for what the process prints: its client's warnings, or why it can't start."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(path.with_suffix(".log"), flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


_handles: WeakSet[ProcessHandle] = WeakSet()


def _forget_all() -> None:
    for handle in _handles:
        handle.forget()


os.register_at_fork(after_in_child=_forget_all)
