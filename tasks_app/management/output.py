"""Tasks on a terminal: summary, list, and the formats of numbers and times."""

import os
from collections.abc import Collection
from typing import IO, cast
from uuid import UUID

from django.core.management.base import OutputWrapper
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app import command_lines, reasons, time_zones
from tasks_app.lifecycle import chains, comparisons, durations, selectors
from tasks_app.lifecycle.chains import Chain
from tasks_app.market import synthetic
from tasks_app.models import CollectionTask, QueuedOrder
from tasks_app.models.quotes import InstrumentKind
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.orders.forecasts import Forecast, describe
from tasks_app.throttle import status as limiter_status

COLOURS: dict[str, str] = {  # by outcome where there is one, else by status
    TaskStatus.RUNNING: "cyan",
    TaskOutcome.COMPLETE: "green",
    TaskOutcome.WITH_FAILURES: "yellow",
    TaskOutcome.NOTHING_NEW: "bright_blue",
    TaskOutcome.NO_BARS: "magenta",
    TaskStatus.FAILED: "red",
    TaskStatus.CANCELLED: "bright_black",
}


def write_for_terminal() -> None:
    """Activates the terminal's language, from LC_ALL, LC_MESSAGES or LANG, and its readers' time zone.

    Hints name commands as they work here.
    """
    command_lines.write_for_terminal()
    locale = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    translation.activate("zh-hans" if locale.lower().startswith("zh") else "en")
    timezone.activate(time_zones.zone_of_reader())


def console(stream: OutputWrapper, no_color: bool = False) -> Console:
    """Returns a console on a command's stream. Text is printed as it is: error messages are no markup."""
    stream.ending = ""  # otherwise Django ends the bar's control codes with line feeds
    file = cast(IO[str], stream)
    return Console(file=file, markup=False, highlight=False, no_color=no_color or None)


def short_id(task_id: UUID) -> str:
    """Returns the first characters of the id, which the commands accept as well."""
    return task_id.hex[:8]


def progress_text(task: CollectionTask) -> str:
    """Returns the progress: stocks, bars, failures."""
    if not task.planned_at and task.end_time:
        return _("The plan was not completed.") if task.total_stocks else _("No stock list was read.")
    if not task.planned_at and task.total_stocks:
        return _("planning, stocks so far: %(count)s") % {"count": f"{task.total_stocks:,}"}
    if not task.planned_at:
        return _("reading the stock list")
    text = _("%(done)s/%(total)s stocks  %(bars)s bars  %(failed)s failed") % {
        "done": f"{task.processed_stocks:,}",
        "total": f"{task.total_stocks:,}",
        "bars": f"{task.collected_count:,}",
        "failed": f"{task.failed_count:,}",
    }
    return "  ".join(filter(None, [text, comparisons.describe_comparison(task)]))


def chain_text(chain: Chain) -> str:
    """Returns the progress of a whole chain, in stocks."""
    text = _("%(done)s/%(total)s stocks  %(failed)s failed  in %(parts)s tasks")
    return text % {
        "done": f"{chain.processed:,}",
        "total": f"{chain.total:,}",
        "failed": f"{chain.failed:,}",
        "parts": chain.parts,
    }


def pause_text(task: CollectionTask) -> str:
    """Returns what a running task waits for: its resume, a plan, a list, a paused source; "" if nothing.

    With since when and by whom it was paused, or until when the source is, and why.
    """
    if task.paused_at:
        since = time_zones.write(task.paused_at, seconds=True)
        text = _("paused by %(user)s since %(time)s") if task.paused_by else _("paused since %(time)s")
        return text % {"user": task.paused_by, "time": since}
    if task.yielding_at:
        return _("yields to the plan “%(plan)s” once its requests have ended") % {"plan": task.yields_to_name}
    if repeated := selectors.repeated_stock_list(task):
        return repeated
    limiter = limiter_status.status_of(task.source) if task.status == TaskStatus.RUNNING else None
    if limiter is None or limiter.paused_until is None:
        return ""
    until = time_zones.write(limiter.paused_until, seconds=True)
    text = _("the source “%(source)s” is paused until %(time)s:")
    return text % {"source": limiter.source, "time": until} + f"\n{limiter.reason}"


def print_summary(task: CollectionTask, console: Console) -> None:
    """Prints a table of a task's results and the reasons of failures."""
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _summary_rows(task):
        table.add_row(label, Text(value) if isinstance(value, str) else value)
    console.print(table)


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Prints what an order would need, and when it would end."""
    unknown = _("known once the source's stock list is read")
    least, most, stocks = forecast.least, forecast.most, forecast.estimate.stocks
    rows = [(_("source"), forecast.source), (_("stocks"), unknown if stocks is None else f"{stocks:,}")]
    if least and most:
        bounds = _("at least %(least)s, at most %(most)s")
        for name, low, high in (
            (_("requests"), least.requests, most.requests),
            (_("permits"), least.permits, most.permits),
        ):
            rows.append((name, bounds % {"least": f"{low:,}", "most": f"{high:,}"}))
    for label, value in rows:
        console.print(f"{label}: {value}", soft_wrap=True)
    for sentence in describe(forecast):
        console.print(sentence, soft_wrap=True)
    console.print(_("Nothing was started."))


def print_table(tasks: Collection[CollectionTask], console: Console) -> None:
    """Prints a few lines per task, since 80 columns hold the whole id, which users copy, and little else.

    The last ones say what the running task waits for.
    """
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(_("task"), no_wrap=True, overflow="fold")
    table.add_column(_("status"), min_width=10)
    table.add_column(_("started at"), overflow="fold")
    for task in tasks:
        table.add_row(
            "\n  ".join([str(task.pk), progress_text(task), *pause_text(task).splitlines()]),
            _result(task),
            Text("\n".join(filter(None, [start_time(task), f"{task.market} {task.source}", task.plan_name]))),
        )
    console.print(table if tasks else _("There are no such tasks."))


def print_queue(rows: Collection[QueuedOrder], console: Console) -> None:
    """Prints queued orders, two lines each."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for name in (_("order"), _("state"), _("priority"), _("request"), _("queued at")):
        table.add_column(name, overflow="fold")
    for row in rows:
        values, note = row.values, row.error_message or (str(row.task_id) if row.task_id else "")
        if row.continues_id and not note:
            note = _("the rest of task %(id)s") % {"id": short_id(row.continues_id)}
        request = f"{row.market} {row.source}\n{values['start_date']} – {values['end_date']}"
        table.add_row(
            str(row.pk),
            str(row.get_state_display()),
            str(row.get_priority_display()),
            "\n".join(filter(None, (request, note))),
            f"{time_zones.write(row.queued_at)}\n{row.user_name}",
        )
    console.print(table if rows else _("There are no such orders."))


def start_time(task: CollectionTask) -> str:
    """Returns when it started, in the terminal's time zone."""
    return time_zones.write(task.start_time)


def _result(task: CollectionTask) -> Text:
    """Returns the status, and what a completed task brought, in its colour."""
    return Text(task.get_result_display(), style=COLOURS[task.outcome or task.status])


def _no_bars_text(task: CollectionTask) -> str:
    """Returns which options choose the days, after what the source said about one of the stocks."""
    noted = task.items.exclude(note="").order_by("position").first()
    text = _("Other days are requested with --start-date and --end-date.")
    return f"{noted.code}: {noted.note}\n{text}" if noted else text


def _summary_rows(task: CollectionTask) -> list[tuple[str, str | Text]]:
    elapsed = durations.format_duration(durations.task_duration(task))
    kind = "" if task.kind == InstrumentKind.STOCK else task.get_kind_display()
    scope = f"{synthetic.mark(task.market)} {kind} {task.source} {task.adjust}"
    request = f"{scope} {task.start_date} – {task.end_date}"
    rows: list[tuple[str, str | Text]] = [
        (_("task"), str(task.pk)),
        (_("status"), _result(task)),
        (_("request"), " ".join(request.split())),
        (_("started at"), f"{start_time(task)}, {elapsed}"),
        *([(_("plan"), task.plan_name)] if task.plan_name else []),
        (_("stocks"), f"{task.processed_stocks:,}/{task.total_stocks:,}"),
        (_("succeeded"), f"{task.success_count:,}"),
        (_("failed"), f"{task.failed_count:,}"),
        (_("bars collected"), f"{task.collected_count:,}"),
        (_("bars corrected"), f"{task.corrected_count:,}"),
        (_("bars skipped"), f"{task.skipped_count:,}"),
        (_("bars refused"), f"{task.refused_count:,}"),
        (_("bars flagged"), f"{task.flagged_count:,}"),
    ]
    if chain := chains.chains_of([task]).get(task.pk):
        rows.append((_("whole run"), chain_text(chain)))
        others = {_("continues"): task.continues_id, _("continued by"): chain.continued_by}
        rows.extend((name, str(other)) for name, other in others.items() if other)
    if comparison := comparisons.describe_comparison(task):
        rows.append((_("comparison"), comparison))
    if task.outcome == TaskOutcome.NO_BARS:
        rows.append((_("note"), _no_bars_text(task)))
    if pause := pause_text(task):
        rows.append((_("waiting"), pause))
    for source, share in selectors.shares_by_source([task])[task.pk].items():  # if there were several
        counts = {key: f"{number:,}" for key, number in share.items()}
        rows.append((source, _("stocks: %(stocks)s; new or corrected bars: %(bars)s") % counts))
    for params in selectors.warnings(task.pk):
        rows.append((_("warning"), reasons.translated_warning(params)))
    if reason := reasons.explain(task.error_code, task.error_message):
        rows.append((_("yielded") if task.has_yielded else _("error"), reason))
    for group in selectors.error_groups(task.pk) if task.failed_count else ():
        codes = ", ".join(group["sample_codes"])
        message = reasons.translated_reason(group["error_code"]) or group["message"]
        rows.append((group["error_code"], f"{group['count']:,} × {message} ({codes})"))
    return rows
