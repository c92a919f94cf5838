"""`manage.py calendar`: shows a market's trading days and imports manual corrections."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _, gettext_noop
from rich.box import SIMPLE
from rich.table import Table

from tasks_app import time_zones
from tasks_app.conf import ALL_MARKETS
from tasks_app.lifecycle import payloads
from tasks_app.management import cli_arguments, output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.market import calendar_corrections as corrections, calendars, silent_days
from tasks_app.market.calendars import Calendar
from tasks_app.models import CalendarDay
from tasks_app.sentences import join_sentences
from tasks_app.sources.market_time import market_today

BY = "manage.py"  # recorded with corrections by this command


class Command(CollectorCommand):
    help = gettext_noop(
        "Show a market's trading calendar, or correct it from a CSV file: market,day,status,note."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        show = verbs.add_parser("show", help=_("a year's sessions and holidays, and what was corrected"))
        show.add_argument("--market", required=True, type=str.upper, choices=ALL_MARKETS)
        show.add_argument("--year", type=cli_arguments.whole_number(1900, 9000), help=_("default: this year"))
        show.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))
        correct = verbs.add_parser("correct", help=_("correct one day"))
        correct.add_argument("--market", required=True, type=str.upper, choices=ALL_MARKETS)
        correct.add_argument("--day", required=True, type=cli_arguments.iso_day, metavar="YYYY-MM-DD")
        status = correct.add_mutually_exclusive_group(required=True)
        status.add_argument(
            "--open", dest="status", action="store_const", const="open", help=_("a trading day")
        )
        status.add_argument(
            "--closed", dest="status", action="store_const", const="closed", help=_("no trading")
        )
        status.add_argument(
            "--as-published", dest="status", action="store_const", const="", help=_("withdraw the correction")
        )
        correct.add_argument("--note", default="", help=_("why, up to 200 characters"))
        load = verbs.add_parser("import", help=_("correct days; those of the file replace what stood there"))
        columns = "CSV with the columns market, day, status (open or closed) and note, which may be left out"
        load.add_argument(
            "file", type=Path, metavar="FILE", help=_("%(columns)s; UTF-8 or GBK") % {"columns": columns}
        )

    def run(self, *args: Any, verb: str, **options: Any) -> None:
        {"import": self._import, "correct": self._correct, "show": self._show}[verb](options)

    def _import(self, options: dict[str, Any]) -> None:
        count = corrections.store(corrections.OVERRIDES.rows(options["file"]), BY)
        self.stdout.write(_("Days corrected: %(count)d.") % {"count": count})

    def _correct(self, options: dict[str, Any]) -> None:
        market, day, status = options["market"], options["day"], options["status"]
        if status:
            is_session = corrections.STATUSES[status]
            row = CalendarDay(market=market, day=day, is_session=is_session, note=options["note"][:200])
            count = corrections.store([row], BY)
        else:
            count = CalendarDay.objects.filter(market=market, day=day).delete()[0]
        self.stdout.write(_("Days corrected: %(count)d.") % {"count": count})

    def _show(self, options: dict[str, Any]) -> None:
        market = options["market"]
        year = options["year"] or market_today(market).year
        first, last = date(year, 1, 1), date(year, 12, 31)
        calendar = calendars.load_calendar(market)
        overrides = CalendarDay.objects.filter(market=market, day__range=(first, last)).order_by("day")
        if options["json"]:
            self.stdout.write(payloads.dumps(_as_json(calendar, first, last, list(overrides))))
        else:
            self._print(calendar, first, last, list(overrides), options["no_color"])

    def _print(
        self, calendar: Calendar, first: date, last: date, overrides: Sequence[CalendarDay], plain: bool
    ) -> None:
        console = output.console(self.stdout, plain)
        console.print(_heading(calendar, first, last), soft_wrap=True)
        table = Table(box=SIMPLE)
        for head in (_("month"), _("trading days"), _("closed on weekdays")):
            table.add_column(head, justify="right" if head == _("trading days") else "left")
        days = set(calendar.sessions(first, last).days)
        for month in range(1, 13):
            weekdays = [day for day in calendars.weekdays(first, last) if day.month == month]
            closed = " ".join(f"{day:%d}" for day in weekdays if day not in days)
            table.add_row(f"{first.year}-{month:02}", str(sum(day.month == month for day in days)), closed)
        console.print(table)
        for row in overrides:
            kind = _("trading day") if row.is_session else _("closed")
            console.print(_("corrected:"), row.day, kind, row.note, soft_wrap=True)
        for silent in silent_days.find(calendar.market, first, last):
            text = _("%(source)s had no quotes of %(stocks)d stocks (last asked at %(time)s)")
            params = {
                "source": silent.source,
                "stocks": silent.stocks,
                "time": time_zones.write(silent.asked_at),
            }
            console.print(_("no quotes:"), silent.day, text % params, soft_wrap=True)


def _heading(calendar: Calendar, first: date, last: date) -> str:
    sessions = calendar.sessions(first, last)
    text = _("%(market)s %(year)d: %(count)d trading days; the calendar is known up to %(end)s.") % {
        "market": calendar.market,
        "year": first.year,
        "count": len(sessions.days),
        "end": calendar.published.end,
    }
    beyond = _("After that every weekday counts as a trading day.")
    return join_sentences(text, beyond) if sessions.beyond else text


def _as_json(calendar: Calendar, first: date, last: date, overrides: Sequence[CalendarDay]) -> dict[str, Any]:
    sessions = calendar.sessions(first, last)
    corrected = [{"day": o.day, "is_session": o.is_session, "note": o.note} for o in overrides]
    return {
        "market": calendar.market,
        "known_to": calendar.published.end,
        "beyond": sessions.beyond,
        "sessions": sessions.days,
        "corrected": corrected,
        "without_quotes": [
            {"day": each.day, "source": each.source, "stocks": each.stocks, "asked_at": each.asked_at}
            for each in silent_days.find(calendar.market, first, last)
        ],
    }
