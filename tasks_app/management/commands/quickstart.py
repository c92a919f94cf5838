"""`manage.py quickstart`: everything on this machine, with one command."""

import json
import os
import socket
import time
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from django.utils.translation import gettext as _, gettext_lazy
from rich.cells import set_cell_size

from tasks_app import lifecycle
from tasks_app.errors import CollectorError, TaskAlreadyRunning
from tasks_app.lifecycle import selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.management import (
    bootstrap,
    cli_arguments,
    cli_errors,
    output,
    progress_view,
    web_server,
)
from tasks_app.management.processes import Child, Family
from tasks_app.management.stopping import StopSignals
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.models.tasks import Channel
from tasks_app.orders import order
from tasks_app.orders.order import Order
from tasks_app.queue import dispatch

ACTOR = Actor(Channel.COMMAND)
SAMPLE = Order(date(2000, 1, 1), date(2013, 12, 31), market="US", source="sample", fallbacks=())
READY_SECONDS = 60.0
TURN_SECONDS = 0.1
WEB_STOPS, WORKER_STOPS = web_server.GRACE_SECONDS + 5.0, 40.0  # bounds; the worker itself takes 30 s at most


class NotReady(CollectorError):
    code = "not_ready"
    template = gettext_lazy("Web server and worker did not both answer within %(seconds).0f s.")


class Command(BaseCommand):
    help = "Start everything on this machine: database tables, web server, workers, a first collection."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        port, workers = cli_arguments.whole(0, 65_535), settings.COLLECTOR.workers
        parser.add_argument(
            "--port", type=port, default=8000, help="default: %(default)s; 0 takes a free one"
        )
        parser.add_argument("--workers", type=cli_arguments.WORKERS, default=workers, metavar="N")
        parser.add_argument("--no-collect", action="store_true", help="do not start the sample collection")
        parser.add_argument("--once", action="store_true", help="only run one sample collection, then end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        """Exits 0 when stopped by Ctrl-C or SIGTERM; with --once, when the collection completed."""
        output.speak()
        self.console = output.console(self.stdout, options["no_color"])
        self.stop = StopSignals()
        # As many slices at once as there are workers, in every process that starts a task.
        os.environ.setdefault("COLLECTOR_FAN_OUT", str(options["workers"]))
        try:
            with cli_errors.answering():
                self.once(options) if once else self.serve(options)
        except KeyboardInterrupt:
            self.say(_("Stopped."))
            if once:
                raise SystemExit(1) from None
        except CollectorError as error:
            raise CommandError(str(error)) from error

    def serve(self, options: dict[str, Any]) -> None:
        """Until it is interrupted. Raises `CollectorError` for what stops it otherwise."""
        with (
            web_server.listen(options["host"], options["port"]) as listener,
            Family(self.say, self.stop) as family,
        ):
            bootstrap.static_files()
            family.add(_web(listener))  # it needs no tables before its first request
            bootstrap.migrate()
            known = _clusters()
            family.add(_worker(options["workers"]))
            access = self.prepare(listener, options["no_collect"])
            _wait_until_ready(family, listener, known)
            self.announce(access)
            while True:
                family.tend()
                time.sleep(TURN_SECONDS)

    def prepare(self, listener: socket.socket, no_collect: bool) -> dict[str, str | None]:
        """What can be done while the children start: the user, the token, the first collection."""
        user, password = bootstrap.admin()
        if not no_collect and not CollectionTask.objects.exists():
            lifecycle.start(SAMPLE, ACTOR, today=order.latest_today())
        return {
            "url": web_server.url(listener),
            "admin_url": web_server.url(listener, reverse("admin:index")),
            "user": user.get_username(),
            "password": password,
            "token": bootstrap.token(user),
        }

    def announce(self, access: dict[str, str | None]) -> None:
        """For people, then the one line for programs."""
        labels = {
            "url": _("URL"),
            "admin_url": _("Admin"),
            "user": _("User"),
            "password": _("Password"),
            "token": _("API token"),
        }
        known = _("as before (to change it: python manage.py changepassword admin)")
        self.say("")
        for key, label in labels.items():
            self.say(f"  {set_cell_size(label, 10)} {access[key] or known}")
        if settings.SECURE_SSL_REDIRECT:
            self.say(
                "\n" + _("These addresses lead to HTTPS: have a proxy speak it, or set DJANGO_HTTPS=off.")
            )
        self.say("\n" + _("Ctrl-C stops everything."))
        self.stdout.write(f"READY {json.dumps(access)}\n")
        self.stdout.flush()

    def once(self, options: dict[str, Any]) -> None:
        """One sample collection on real workers. Exits 1 unless it completed."""
        bootstrap.migrate()
        with Family(self.say, self.stop) as family:
            family.add(_worker(options["workers"]))
            task = self.collect(progress_view.Watch(self.console, family.tend))
        output.summarise(task, self.console)
        if task.status != TaskStatus.COMPLETED:
            raise SystemExit(1)

    def collect(self, watch: progress_view.Watch) -> CollectionTask:
        """The ended collection. A task that is in the way is followed first; one of ours is taken up."""
        while True:
            try:
                task = selectors.get_running_task() or lifecycle.start(
                    SAMPLE, ACTOR, today=order.latest_today()
                )
            except TaskAlreadyRunning:
                continue
            ours = order.order_from_task(task) == SAMPLE
            if not ours:
                self.say(_("Another task is running. Waiting for its end: %(task)s") % {"task": task.pk})
            ended = watch.until_end(task.pk)
            if ours:
                return ended
            output.summarise(ended, self.console)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _worker(workers: int) -> Child:
    command = [str(settings.BASE_DIR / "manage.py"), "worker", "--skip-checks", "--workers", str(workers)]
    return Child(_("worker"), command, bound=WORKER_STOPS)


def _web(listener: socket.socket) -> Child:
    return Child(_("web server"), web_server.command(listener), bound=WEB_STOPS, pass_fds=[listener.fileno()])


def _clusters() -> set[tuple[str, int]]:
    return {(cluster.host, cluster.pid) for cluster in dispatch.live_clusters() if cluster.workers}


def _wait_until_ready(family: Family, listener: socket.socket, known: set[tuple[str, int]]) -> None:
    """Until the web server answers and a cluster lives that is not `known`: heartbeats outlive clusters."""
    deadline = time.monotonic() + READY_SECONDS
    while not (_clusters() - known and web_server.answers(listener)):
        family.tend()
        if time.monotonic() > deadline:
            raise NotReady(seconds=READY_SECONDS)
        time.sleep(TURN_SECONDS)
