"""`manage.py plans`: lists, makes, switches, runs and deletes collection plans."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _, gettext_lazy, gettext_noop
from rich.box import SIMPLE
from rich.table import Table

from tasks_app import errors, time_zones
from tasks_app.api.bodies import PlanStepBody
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.exports.places import named_folder
from tasks_app.lifecycle import payloads, plan_actions, plan_runs
from tasks_app.lifecycle.events import Actor
from tasks_app.management import cli_arguments, output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.models import CollectionPlan, PlanRun
from tasks_app.models.events import Channel
from tasks_app.models.plan_runs import StepKind
from tasks_app.models.plans import LONGEST_DAYS, Rhythm, Weekday
from tasks_app.models.priorities import PRIORITY_NAMES, Priority
from tasks_app.models.quotes import ORDER_KINDS
from tasks_app.models.states import TaskStatus
from tasks_app.models.transfers import ExportLayout
from tasks_app.orders import plans

ACTOR = Actor(Channel.COMMAND)
SHOWN_RUNS = 20
OVERDUE = timedelta(minutes=10)  # a watchdog looks every few seconds
FAILED, LATE = 2, 3  # exit codes of `list --check`
CHECK = gettext_lazy(
    "exit with %(failed)d if the last run of a plan that is switched on did not start or failed, "
    "with %(late)d if one has been due for ten minutes and not started"
)


class Command(CollectorCommand):
    help = gettext_noop("List, make, switch, run and delete collection plans, like the API.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listing = verbs.add_parser("list", help=_("list the plans by name"))
        listing.add_argument(
            "--check", action="store_true", help=str(CHECK % {"failed": FAILED, "late": LATE})
        )
        create = verbs.add_parser("create", help=_("make a plan"))
        _add_plan(create)
        subs = [listing, create]
        for verb, text in (
            ("enable", _("switch a plan on")),
            ("disable", _("switch a plan off")),
            ("run", _("start what a plan orders now; follow it with: collect watch")),
            ("runs", _("list the last %(count)d runs of a plan with their steps") % {"count": SHOWN_RUNS}),
            ("delete", _("delete a plan; what it collected stays")),
        ):
            sub = verbs.add_parser(verb, help=text, description=text)
            sub.add_argument("plan", metavar="PLAN", help=_("its name or id"))
            subs.append(sub)
        for sub in subs:
            sub.add_argument("--json", action="store_true", help=_("print the API's JSON and nothing else"))

    def run(self, *args: Any, verb: str, **options: Any) -> None:
        self.json, self.console = options["json"], output.console(self.stdout, options["no_color"])
        getattr(self, f"_{verb}")(options)

    def report_error(self, error: errors.CollectorError) -> None:
        if self.json:
            self._print_json({"detail": str(error), "code": error.code})

    def _list(self, options: dict[str, Any]) -> None:
        rows = list(CollectionPlan.objects.select_related("created_by", "last_task").order_by("name"))
        if self.json:
            self._print_json([payloads.plan(plan) for plan in rows])
        else:
            self.console.print(_table(rows) if rows else _("There are no plans."))
        if options["check"] and (code := _problem(rows)):
            raise SystemExit(code)

    def _create(self, options: dict[str, Any]) -> None:
        names = (
            *("name", "enabled", "market", "source", "fallbacks", "adjust", "kind", "days", "rhythm"),
            *("weekday", "at", "verify_with", "verify_sample", "export_to", "export_layout"),
        )
        if options["export_to"]:
            named_folder(options["export_to"])
        values = {name: options[name] for name in names}
        values["fallbacks"] = None if options["fallbacks"] is None else list(options["fallbacks"])
        values["stock_codes"] = cli_arguments.read_codes(options["codes"]) or None
        if options["steps"]:
            values["steps"] = _read_steps(options["steps"])
        values |= {"full_collection_mode": options["full"], "force_update": options["force"]}
        values["priority"] = Priority.named(options["priority"])
        self._report(plan_actions.create(values, ACTOR))

    def _enable(self, options: dict[str, Any]) -> None:
        self._report(plan_actions.change(_find(options["plan"]).pk, {"enabled": True}, ACTOR))

    def _disable(self, options: dict[str, Any]) -> None:
        self._report(plan_actions.change(_find(options["plan"]).pk, {"enabled": False}, ACTOR))

    def _run(self, options: dict[str, Any]) -> None:
        payload = payloads.plan_started(plan_actions.run(_find(options["plan"]).pk, ACTOR))
        if self.json:
            self._print_json(payload)
        else:
            self.console.print(payload["message"], payload["task_id"], sep="\n", soft_wrap=True)

    def _runs(self, options: dict[str, Any]) -> None:
        runs = list(plan_runs.history(_find(options["plan"]).pk)[:SHOWN_RUNS])
        if self.json:
            self._print_json([payloads.plan_run(run) for run in runs])
        else:
            self.console.print(_run_table(runs) if runs else _("The plan has not run yet."))

    def _delete(self, options: dict[str, Any]) -> None:
        plan = _find(options["plan"])
        payload = payloads.plan_deleted(plan)
        plan_actions.delete([plan], ACTOR)
        if self.json:
            self._print_json(payload)
        else:
            self.console.print(payload["message"], soft_wrap=True)

    def _report(self, plan: CollectionPlan) -> None:
        if self.json:
            self._print_json(payloads.plan(plan))
        else:
            self.console.print(_table([plan]))

    def _print_json(self, payload: object) -> None:
        self.stdout.write(payloads.dumps(payload), ending="\n")


def _add_plan(parser: CommandParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument("--at", required=True, type=cli_arguments.time_of_day, metavar="HH:MM")
    parser.add_argument(
        "--market", default="", type=str.upper, help=_("CN, HK or US (default: the source's)")
    )
    parser.add_argument("--source", default="", help=_("default: one for the market"))
    parser.add_argument(
        "--fallbacks",
        type=cli_arguments.split_names,
        metavar="SOURCE,…",
        help=_('for stocks that fail; "" for none'),
    )
    parser.add_argument("--adjust", default="", help=_("qfq, hfq or split (default: unadjusted)"))
    parser.add_argument("--kind", choices=[kind.value for kind in ORDER_KINDS], default="stock")
    parser.add_argument(
        "--days",
        type=cli_arguments.whole_number(1, LONGEST_DAYS),
        default=30,
        help=_("calendar days back from the day on which it is due (default: 30)"),
    )
    parser.add_argument(
        "--codes", nargs="+", action="extend", default=[], metavar="CODE", help=_("default: all; @FILE")
    )
    parser.add_argument("--full", action="store_true", help=_("only stocks not yet answered as a whole"))
    parser.add_argument("--force", action="store_true", help=_("request stored days again"))
    cli_arguments.add_second_source(parser)
    parser.add_argument("--rhythm", choices=Rhythm.values, default=Rhythm.SESSIONS.value)
    parser.add_argument(
        "--weekday",
        type=cli_arguments.whole_number(0, 6),
        default=Weekday.FRIDAY.value,
        help=_("0 is Monday"),
    )
    text = _("after each run, export into this folder below COLLECTOR_EXPORT_DIR (default: no export)")
    parser.add_argument("--export-to", default="", metavar="NAME", help=text)
    parser.add_argument("--export-layout", choices=ExportLayout.values, default=ExportLayout.PARQUET.value)
    text = _("a file with the steps as JSON, as the API takes them (default: the plan is its only step)")
    parser.add_argument("--steps", type=Path, metavar="FILE", help=text)
    text = _("a running task of a lower one yields when the plan is due (default: normal)")
    names = [name for name, _label in PRIORITY_NAMES]
    parser.add_argument("--priority", choices=names, default="normal", help=text)
    parser.add_argument("--disabled", dest="enabled", action="store_false", help=_("make it switched off"))


def _find(text: str) -> CollectionPlan:
    """Returns the plan of a name, else of an id. Raises `PlanNotFound`."""
    return CollectionPlan.objects.filter(name=text).first() or plans.get_plan(text)


def _read_steps(path: Path) -> list[dict[str, Any]]:
    """Returns the steps of a file. Raises `CommandError` for one that can't be read or has no such steps."""
    try:
        body = PlanStepBody(data=json.loads(path.read_text()), many=True)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from error
    if not body.is_valid():
        raise CommandError(f"{path}: {json.dumps(body.errors, ensure_ascii=False)}")
    return [dict(step) for step in body.validated_data]


def _run_table(runs: Sequence[PlanRun]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for title in (_("run"), _("status"), _("steps"), _("error")):
        table.add_column(title, overflow="fold")
    for run in runs:
        at = time_zones.write(run.due_at or run.started_at)
        steps = [_step_line(step) for step in plan_runs.run_steps(run)]
        state = run.get_state_display() + (f"\n{_('late')}" if run.is_late else "")
        table.add_row(f"{run.pk}\n{at}", state, "\n".join(steps), run.error_message)
    return table


def _step_line(step: plan_runs.RunStep) -> str:
    tasks = " ".join(str(attempt.task_id)[:8] for attempt in step.attempts if attempt.task_id)
    overtaken = [str(attempt.overtook_id)[:8] for attempt in step.attempts if attempt.overtook_id]
    note = _("%(tasks)s yielded to it") % {"tasks": " ".join(overtaken)} if overtaken else ""
    return f"{step.position}. {StepKind(step.kind).label}: {step.state} {tasks} {note}".rstrip()


def _problem(rows: Sequence[CollectionPlan]) -> int:
    """Returns the exit code of the plans that are switched on; 0 if all is well."""
    enabled = [plan for plan in rows if plan.enabled]
    if any(plan.error_code or _has_failed(plan) for plan in enabled):
        return FAILED
    latest = timezone.now() - OVERDUE
    is_late = (plan.next_at and plan.next_at < latest and not plan.waiting_since for plan in enabled)
    return LATE if any(is_late) else 0


def _has_failed(plan: CollectionPlan) -> bool:
    return plan.last_task is not None and plan.last_task.status == TaskStatus.FAILED


def _table(rows: Sequence[CollectionPlan]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for title in (_("plan"), _("scope"), _("when"), _("next run"), _("last result")):
        table.add_column(title, overflow="fold")
    for plan in rows:
        often = plan.get_weekday_display() if plan.rhythm == Rhythm.WEEKLY else plan.get_rhythm_display()
        scope = " ".join(f"{plan.market} {plan.source} {plan.adjust}".split())
        zone = MARKET_TIME_ZONES[plan.market]
        due = _("off")
        if plan.next_at:
            due = f"{timezone.localtime(plan.next_at, ZoneInfo(zone)):%Y-%m-%d %H:%M}\n{zone}"
        task = plan.last_task if plan.last_task_id else None
        result = plan.error_message or (task.get_result_display() if task else "")
        when = f"{often} {plan.at:%H:%M}\n{zone}"
        if plan.priority != Priority.NORMAL:
            when += f"\n{_('priority')}: {plan.get_priority_display()}"
        table.add_row(
            f"{plan.pk}  {plan.name}",
            scope,
            when,
            _("waiting for another task") if plan.waiting_since else due,
            str(result),
        )
    return table
