"""`manage.py quickstart`: starts everything on this machine."""

import json
import os
import socket
import time
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import reverse
from django.utils.translation import gettext as _, gettext_lazy, gettext_noop
from rich.cells import set_cell_size

from tasks_app import command_lines, lifecycle, time_zones
from tasks_app.errors import CollectorError, TaskAlreadyRunning
from tasks_app.lifecycle import selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.management import bootstrap, cli_arguments, kept_token, output, progress_view, web_server
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.management.processes import ManagedProcess, ProcessGroup, StopSignals
from tasks_app.models import CollectionTask
from tasks_app.models.events import Channel
from tasks_app.models.states import TaskStatus
from tasks_app.orders import order
from tasks_app.orders.order import Order
from tasks_app.queue import dispatch

ACTOR = Actor(Channel.COMMAND)
SAMPLE = Order(date(2000, 1, 1), date(2013, 12, 31), market="US", source="sample", fallbacks=())
READY_SECONDS = 60.0
POLL_SECONDS = 0.1
# Seconds after which they are killed; a worker itself takes 30 s at most.
WEB_STOP_TIMEOUT, WORKER_STOP_TIMEOUT = web_server.GRACE_SECONDS + 5.0, 40.0


class NotReady(CollectorError):
    code = "not_ready"
    template = gettext_lazy("Web server and worker did not both respond within %(seconds).0f s.")


class Command(CollectorCommand):
    help = gettext_noop(
        "Start everything on this machine: database tables, web server, workers, a first collection."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help=_("address to listen on (default: %(default)s)")
        )
        port, workers = cli_arguments.whole_number(0, 65_535), settings.COLLECTOR.workers
        parser.add_argument(
            "--port", type=port, default=8000, help=_("default: %(default)s; 0 takes a free one")
        )
        parser.add_argument("--workers", type=cli_arguments.WORKERS, default=workers, metavar="N")
        parser.add_argument("--no-collect", action="store_true", help=_("do not start the sample collection"))
        parser.add_argument("--once", action="store_true", help=_("only run one sample collection, then end"))

    def run(self, *args: Any, once: bool, **options: Any) -> None:
        """Exits with 0 if stopped by Ctrl-C or SIGTERM; with --once, if the collection completed."""
        self.console = output.console(self.stdout, options["no_color"])
        self.stop = StopSignals()
        # As many slices at once as there are workers, in every process that starts a task.
        os.environ.setdefault("COLLECTOR_FAN_OUT", str(options["workers"]))
        if (zone := time_zones.default_zone()) != settings.TIME_ZONE:  # a Chinese terminal, on whose machine
            os.environ["DJANGO_TIME_ZONE"] = zone  # nobody has chosen another zone
        try:
            self.once(options) if once else self.serve(options)
        except KeyboardInterrupt:
            self.report(_("Stopped."))
            if once:
                raise SystemExit(1) from None

    def serve(self, options: dict[str, Any]) -> None:
        """Serves until it is interrupted. Raises `CollectorError`."""
        with (
            web_server.listen(options["host"], options["port"]) as listener,
            ProcessGroup(self.report, self.stop) as processes,
        ):
            bootstrap.collect_static_files()
            processes.add(_web(listener))  # it needs no tables before its first request
            bootstrap.migrate_database()
            earlier = _clusters()
            processes.add(_worker(options["workers"]))
            access = self.prepare(listener, options["no_collect"])
            _wait_until_ready(processes, listener, earlier)
            self.announce(access)
            while True:
                processes.restart_dead()
                time.sleep(POLL_SECONDS)

    def prepare(self, listener: socket.socket, no_collect: bool) -> dict[str, str | None]:
        """Prepares user, token and first collection while the programs start."""
        user, password = bootstrap.ensure_admin()
        if not no_collect and not CollectionTask.objects.exists():
            lifecycle.start(SAMPLE, ACTOR, today=order.latest_today())
        return {
            "url": web_server.url(listener),
            "admin_url": web_server.url(listener, reverse("admin:index")),
            "user": user.get_username(),
            "password": password,
            "token": kept_token.keep_token(user),
        }

    def announce(self, access: dict[str, str | None]) -> None:
        """Prints the access data for users, then one line for programs."""
        labels = {
            "url": _("URL"),
            "admin_url": _("Admin"),
            "user": _("User"),
            "password": _("Password"),
            "token": _("API token"),
        }
        unchanged = _("as before (to change it: %(manage)s changepassword admin)") % {
            "manage": command_lines.manage()
        }
        self.report("")
        for key, label in labels.items():
            self.report(f"  {set_cell_size(label, 10)} {access[key] or unchanged}")
        if settings.SECURE_SSL_REDIRECT:
            self.report(
                "\n"
                + _("These addresses redirect to HTTPS: use a proxy that serves it, or set DJANGO_HTTPS=off.")
            )
        self.report("\n" + _("Ctrl-C stops everything."))
        self.stdout.write(f"READY {json.dumps(access)}\n")
        self.stdout.flush()

    def once(self, options: dict[str, Any]) -> None:
        """Runs one sample collection on real workers. Exits with 1 unless it completed."""
        bootstrap.migrate_database()
        with ProcessGroup(self.report, self.stop) as processes:
            processes.add(_worker(options["workers"]))
            # Its worker is only starting: an earlier task that no worker has finished will go on.
            watcher = progress_view.TaskWatcher(self.console, processes.restart_dead, read=selectors.get_task)
            task = self.collect(watcher)
        output.print_summary(task, self.console)
        if task.status != TaskStatus.COMPLETED:
            raise SystemExit(1)

    def collect(self, watcher: progress_view.TaskWatcher) -> CollectionTask:
        """Returns the ended sample collection. Another running task is followed to its end first."""
        while True:
            try:
                task = selectors.get_running_task() or lifecycle.start(
                    SAMPLE, ACTOR, today=order.latest_today()
                )
            except TaskAlreadyRunning:
                continue
            is_sample = order.order_from_task(task) == SAMPLE
            if not is_sample:
                self.report(_("Another task is running. Waiting for its end: %(task)s") % {"task": task.pk})
            ended = watcher.until_end(task.pk)
            if is_sample:
                return ended
            output.print_summary(ended, self.console)

    def report(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _worker(workers: int) -> ManagedProcess:
    command = [str(settings.BASE_DIR / "manage.py"), "worker", "--skip-checks", "--workers", str(workers)]
    return ManagedProcess(_("worker"), command, stop_timeout=WORKER_STOP_TIMEOUT)


def _web(listener: socket.socket) -> ManagedProcess:
    return ManagedProcess(
        _("web server"),
        web_server.gunicorn_command(listener),
        stop_timeout=WEB_STOP_TIMEOUT,
        pass_fds=[listener.fileno()],
    )


def _clusters() -> set[tuple[str, int]]:
    return {(cluster.host, cluster.pid) for cluster in dispatch.live_clusters() if cluster.workers}


def _wait_until_ready(
    processes: ProcessGroup, listener: socket.socket, earlier: set[tuple[str, int]]
) -> None:
    """Waits for the web server and for workers other than `earlier` ones, whose heartbeats outlive them."""
    deadline = time.monotonic() + READY_SECONDS
    while not (_clusters() - earlier and web_server.is_responding(listener)):
        processes.restart_dead()
        if time.monotonic() > deadline:
            raise NotReady(seconds=READY_SECONDS)
        time.sleep(POLL_SECONDS)
