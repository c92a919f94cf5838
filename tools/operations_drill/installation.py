"""The installation of the drill: a folder with the code for each machine, their processes, the commands."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.nginx_drill import NAME, PASSWORD, free_port, proxy
from tools.operations_drill.network import Network
from tools.operations_drill.source import URL
from tools.worker_machine import PATIENCE, ROOT, Machine, eventually

WORKERS = 2  # on each machine
CODE = ("collector_site", "tasks_app", "templates", "tools", "manage.py", "gunicorn.conf.py")
Done = subprocess.CompletedProcess[str]


def settings(database: str, redis: str, vendor: str, hosts: int) -> dict[str, str]:
    """Returns the environment of all machines, as in /etc/collector.env."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "LC_ALL": "C.UTF-8",
        "DJANGO_DEBUG": "off",
        "DJANGO_SECRET_KEY": "only-for-the-drill-" * 4,
        "DJANGO_ALLOWED_HOSTS": NAME,
        "DJANGO_PROXIES": "1",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "COLLECTOR_BASE_URL": f"https://{NAME}",
        "COLLECTOR_SOURCES": "vendor=tools.operations_drill.source:VendorSource",
        "COLLECTOR_WORKERS": str(WORKERS),
        "COLLECTOR_FAN_OUT": str(WORKERS * hosts),
        "COLLECTOR_BREAKER_PAUSE": "10",
        "COLLECTOR_BREAKER_PAUSE_MAX": "20",
        URL: vendor,
    }


class Install:
    """A machine's folder with the code, like /srv/collector."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        folder.mkdir(parents=True)
        for name in CODE:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)

    def upgrade(self) -> None:
        """Installs other code, as `git pull` does."""
        with (self.folder / "collector_site/__init__.py").open("a") as file:
            file.write("# the next release\n")

    def manage(self, *arguments: str, launcher: Any = (), check: bool = True, **extra: str) -> Done:
        """Runs a command of manage.py. Raises `AssertionError` when it fails, unless `check` is off."""
        command = [*launcher, sys.executable, "manage.py", *arguments]
        environment = {**self.environment, **extra}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done


class WorkerHost(Machine):
    """A worker machine in a network namespace, with a name, an address and an installation of its own."""

    def __init__(self, net: Network, name: str, install: Install) -> None:
        super().__init__(install.folder.parent, install.environment["DATABASE_URL"])
        self.net, self.name, self.install = net, name, install
        self.worker_count, self.starts = WORKERS, 0
        self.began = 0

    def boot(self) -> None:
        """Starts `manage.py worker` on the machine, and waits until all of its processes have started."""
        self.starts += 1
        self.log_file = self.folder / f"{self.name}-{self.starts}.log"
        command = [*self.net.on(self.name), sys.executable, "manage.py", "worker"]
        with self.log_file.open("ab") as log:
            self.supervisor = subprocess.Popen(
                command,
                cwd=self.install.folder,
                env={**self.install.environment, "DJANGO_LOG_LEVEL": "INFO"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: self.has_ended() or self.processes(), what="the start of all processes")
        assert not self.has_ended(), self.log()

    def shut_down(self) -> int:
        """Stops it as systemd does, by SIGTERM. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def worker_pids(self) -> set[int]:
        """Returns the processes of the machine that collect."""
        return set(self.current().workers)


class Web:
    """gunicorn as its systemd unit starts it, apart from the port."""

    def __init__(self, install: Install) -> None:
        self.install, self.port = install, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        options = ["--workers", "2", "--threads", "4", "--graceful-timeout", "30", "--no-control-socket"]
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "collector_site.wsgi",
            "--bind",
            f"127.0.0.1:{self.port}",
        ]
        with (self.install.folder.parent / "web.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                cwd=self.install.folder,
                env=self.install.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def reload(self) -> None:
        """Sends SIGHUP, as `systemctl reload` does."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def kill(self) -> None:
        """Kills it with its processes, which then answer nothing more."""
        assert self.process
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def shut_down(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


@contextmanager
def https(folder: Path, web: Web) -> Iterator[str]:
    """Runs nginx with deploy/nginx.conf before the web server. Yields the address."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program
    with proxy(program, folder, web.port) as (_plain, secure):
        yield secure
