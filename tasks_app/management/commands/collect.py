"""`manage.py collect`: starts, lists, watches, cancels, pauses and retries collections from a terminal."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils.translation import gettext as _, gettext_noop
from rich.console import Console

from tasks_app import command_lines, errors, lifecycle
from tasks_app.lifecycle import chains, order_queue, payloads
from tasks_app.lifecycle.events import Actor
from tasks_app.management import cli_arguments, output, progress_view, sealed_day_wait
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.models import CollectionTask, QueuedOrder
from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.orders import forecasts, order as orders
from tasks_app.quotes import sealed_days

ACTOR = Actor(Channel.COMMAND)
# Of a command that has followed a task to its end. 1 is also that of a command that could not do its work.
EXIT_CODES: dict[str, int] = {
    TaskOutcome.COMPLETE: 0,
    TaskStatus.FAILED: 1,
    TaskOutcome.WITH_FAILURES: 2,
    TaskOutcome.NOTHING_NEW: 3,
    TaskOutcome.NO_BARS: 4,
    TaskStatus.CANCELLED: 5,
}
NOT_SEALED = 2
MAX_QUEUED = 1000  # listed
USAGE = 2  # argparse's exit code for a wrong option


class Command(CollectorCommand):
    help = gettext_noop("Start, list, watch, cancel, pause and retry collections, like the API.")
    has_begun = False

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb, text, add in cli_arguments.SUBCOMMANDS:
            sub = verbs.add_parser(verb, help=str(text), description=str(text))
            add(sub)
            sub.add_argument("--json", action="store_true", help=_("print the API's JSON and nothing else"))

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Exits with 1 for a wrong option: 2 means a task with failures."""
        try:
            super().run_from_argv(list(argv))
        except SystemExit as stop:
            is_usage = stop.code == USAGE and not self.has_begun
            raise SystemExit(1 if is_usage else stop.code) from None

    def run(self, *args: Any, verb: str, **options: Any) -> None:
        self.has_begun = True
        self.json = options["json"]
        self.console = output.console(self.stdout, options["no_color"])
        getattr(self, verb.replace("-", "_"))(options)

    def report_error(self, error: errors.CollectorError) -> None:
        if self.json:
            self._print_json({"detail": str(error), "code": error.code})

    def start(self, options: dict[str, Any]) -> None:
        order = cli_arguments.build_order(options)
        orders.require_usable_source(order, settings.COLLECTOR)
        if options["dry_run"]:
            order = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
            self._report_forecast(forecasts.forecast(order, settings.COLLECTOR))
            return
        today = orders.latest_today()
        priority = Priority.named(options["priority"])
        if not options["queue"]:
            task = lifecycle.start(order, ACTOR, today=today, priority=priority)
            self._report_start(task, options["watch"])
            return
        result = order_queue.start_or_queue(order, ACTOR, today=today, priority=priority)
        if isinstance(result, CollectionTask):
            self._report_start(result, options["watch"])
        else:
            payload = payloads.order_queued(result, order_queue.position_of(result))
            self._report_payload(payload, f"{payload['message']} ({result.pk})")

    def queue(self, options: dict[str, Any]) -> None:
        rows = QueuedOrder.objects.filter(state=options["state"])
        waiting = options["state"] == QueuedOrderState.WAITING
        rows = rows.order_by(*(order_queue.IN_ORDER if waiting else ("-id",)))[:MAX_QUEUED]
        positions = order_queue.positions()
        if self.json:
            self._print_json([payloads.queued_order(row, positions.get(row.pk)) for row in rows])
        else:
            output.print_queue(rows, self.console)

    def move(self, options: dict[str, Any]) -> None:
        row = order_queue.get_order(options["order"])
        priority = Priority.named(options["priority"]) if options["priority"] else None
        row = order_queue.move(row.pk, ACTOR, position=options["position"], priority=priority)
        position = order_queue.position_of(row)
        text = _("The order %(order)s is at position %(position)s.") % {"order": row.pk, "position": position}
        self._report_payload(payloads.queued_order(row, position), text)

    def withdraw(self, options: dict[str, Any]) -> None:
        row = order_queue.withdraw(order_queue.get_order(options["order"]).pk, ACTOR)
        text = _("The order %(order)s was withdrawn.") % {"order": row.pk}
        self._report_payload(payloads.queued_order(row, None), text)

    def _report_payload(self, payload: dict[str, Any], text: str) -> None:
        if self.json:
            self._print_json(payload)
        else:
            self.console.print(text, soft_wrap=True)

    def retry(self, options: dict[str, Any]) -> None:
        task = lifecycle.retry(_task_id(options), ACTOR, options["error_code"])
        self._report_start(task, options["watch"])

    def list(self, options: dict[str, Any]) -> None:
        tasks = CollectionTask.objects.order_by("-start_time", "-id")
        for name in ("status", "outcome"):
            if options[name]:
                tasks = tasks.filter(**{name: options[name]})
        lifecycle.get_running_task()  # which ends it if no worker will
        newest = tasks[: options["limit"]]
        if self.json:
            self._print_json(payloads.task_statuses(newest))
        else:
            output.print_table(newest, self.console)

    def status(self, options: dict[str, Any]) -> None:
        self._report(lifecycle.get_task(_task_id(options)))

    def watch(self, options: dict[str, Any]) -> None:
        self._watch(_task_id(options))

    def cancel(self, options: dict[str, Any]) -> None:
        self._report_verb(payloads.task_cancelled(lifecycle.cancel(_task_id(options), ACTOR)))

    def pause(self, options: dict[str, Any]) -> None:
        self._report_verb(payloads.task_paused(lifecycle.pause(_task_id(options), ACTOR)))

    def resume(self, options: dict[str, Any]) -> None:
        self._report_verb(payloads.task_paused(lifecycle.resume(_task_id(options), ACTOR)))

    def _report_verb(self, payload: dict[str, Any]) -> None:
        if self.json:
            self._print_json(payload)
        else:
            self.console.print(payload["message"], payload["task_id"], soft_wrap=True)

    def wait_sealed(self, options: dict[str, Any]) -> None:
        """Waits for the day; exits with 2 if it is not sealed in time."""
        key = {"market": options["market"], "kind": options["kind"], "day": options["day"]}
        row = sealed_day_wait.until_sealed(**key, timeout=options["timeout"])
        if self.json:
            self._print_json(sealed_days.describe(row))
        else:
            self.console.print(sealed_day_wait.sentence(row), soft_wrap=True)
        if row.sealed_at is None:
            raise SystemExit(NOT_SEALED)

    def _report_start(self, task: CollectionTask, watch: bool) -> None:
        payload = payloads.task_started(task)
        if not self.json:
            hint = (
                "" if watch else _("Follow it: %(manage)s collect watch") % {"manage": command_lines.manage()}
            )
            self.console.print(payload["message"], payload["task_id"], hint, sep="\n", soft_wrap=True)
        elif not watch:
            self._print_json(payload)
        if watch:
            self._watch(task.pk)

    def _report_forecast(self, forecast: forecasts.Forecast) -> None:
        if self.json:
            self._print_json(payloads.order_forecast(forecast))
        else:
            output.print_forecast(forecast, self.console)

    def _watch(self, task_id: UUID) -> None:
        """Follows the task, reports, and exits with `EXIT_CODES`. --json: progress on stderr."""
        console = Console(stderr=True, markup=False, highlight=False) if self.json else self.console
        try:
            task = progress_view.TaskWatcher(console).until_end(task_id)
        except KeyboardInterrupt:
            text = _(
                "No longer watching. The task continues as long as a worker runs; to cancel it: "
                "%(manage)s collect cancel %(task)s"
            )
            params = {"manage": command_lines.manage(), "task": output.short_id(task_id)}
            console.print(text % params, soft_wrap=True)
            raise SystemExit(1) from None
        self._report(task)
        chain = chains.chains_of([task]).get(task.pk)
        has_failures = chain and chain.failed and task.outcome
        if code := EXIT_CODES[TaskOutcome.WITH_FAILURES if has_failures else task.outcome or task.status]:
            raise SystemExit(code)

    def _report(self, task: CollectionTask) -> None:
        if self.json:
            self._print_json(payloads.task_statuses([task])[0])
        else:
            output.print_summary(task, self.console)

    def _print_json(self, payload: object) -> None:
        self.stdout.write(payloads.dumps(payload), ending="\n")


def _task_id(options: dict[str, Any]) -> UUID:
    return cli_arguments.find_task(options["task"])
