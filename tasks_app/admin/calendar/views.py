"""The page of the trading calendar: shows a market's year, corrects days, imports a file of corrections."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_CALENDAR, VIEW_CALENDAR
from tasks_app.admin.calendar.forms import MAX_BYTES, CorrectionForm, YearForm, year_of
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.lifecycle import audit
from tasks_app.market import calendar_corrections, calendars, silent_days
from tasks_app.market.calendars import Calendar
from tasks_app.models import CalendarDay
from tasks_app.models.audit import AuditVerb
from tasks_app.models.quotes import Market
from tasks_app.sentences import list_words
from tasks_app.sources.market_time import market_today

EXAMPLE = "market,day,status,note\nCN,2025-01-28,closed,Spring Festival\nUS,2025-01-09,closed,"


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("calendar/", admin.site.admin_view(calendar_view), name="calendar")]


def calendar_view(request: HttpRequest) -> HttpResponse:
    """GET shows a market's year; POST with `action` correct, withdraw or import changes the calendar."""
    require_permission(request, VIEW_CALENDAR)
    if request.method != "POST":
        return _render(request, CorrectionForm(initial=request.GET.dict()))
    require_permission(request, CHANGE_CALENDAR)
    actions: dict[str, Callable[[HttpRequest], CorrectionForm | None]] = {
        "correct": _correct,
        "withdraw": _withdraw,
        "import": _import,
    }
    action = actions.get(request.POST.get("action", ""))
    if action and (invalid := action(request)):
        return _render(request, invalid)
    query = {name: request.POST[name] for name in ("market", "year") if name in request.POST}
    return redirect(f"{reverse('admin:calendar')}?{urlencode(query)}")


def _correct(request: HttpRequest) -> CorrectionForm | None:
    """Stores the correction of a day. Returns the form if it is invalid."""
    form = CorrectionForm(request.POST)
    if not form.is_valid():
        return form
    _store(request, [form.correction])
    return None


def _withdraw(request: HttpRequest) -> None:
    """Deletes the correction of a day: what is published counts again."""
    form = CorrectionForm({**request.POST.dict(), "status": "closed"})
    if form.is_valid():
        key = {"market": form.cleaned_data["market"], "day": form.cleaned_data["day"]}
        CalendarDay.objects.filter(**key).delete()
        name = f"{key['market']} {key['day']}"
        audit.record_request(request, AuditVerb.DELETED, "calendarday", name=name)
        messages.success(request, _("The correction of %(day)s was withdrawn.") % {"day": key["day"]})


def _import(request: HttpRequest) -> None:
    """Stores the corrections of a file, all or none."""
    file = request.FILES.get("file")
    if file is None or (file.size or 0) > MAX_BYTES:
        messages.error(request, _("Choose a CSV file of at most 1 MB."))
        return
    try:
        rows = calendar_corrections.OVERRIDES.parse_rows(file.read(), file.name or _("the file"))
    except errors.CollectorError as error:
        messages.error(request, str(error))
        return
    _store(request, rows)


def _store(request: HttpRequest, rows: Sequence[CalendarDay]) -> None:
    count = calendar_corrections.store(rows, request.user.get_username())
    for market, days in groupby(rows, key=attrgetter("market")):
        name = f"{market} {', '.join(str(row.day) for row in days)}"
        audit.record_request(request, AuditVerb.CHANGED, "calendarday", name=name)
    messages.success(request, _("Days corrected: %(count)d.") % {"count": count})


def _render(request: HttpRequest, form: CorrectionForm) -> HttpResponse:
    market, year = year_of({**request.GET.dict(), **request.POST.dict()}, market_today("CN"))
    calendar, title = calendars.load_calendar(market), _("Calendar")
    first, last = date(year, 1, 1), date(year, 12, 31)
    sessions = calendar.sessions(first, last)
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "year_form": YearForm(initial={"market": market, "year": year}),
        "form": form,
        "market": market,
        "market_name": Market(market).label,
        "year": year,
        "may_change": request.user.has_perm(CHANGE_CALENDAR),
        "sessions": len(sessions.days),
        "end": calendar.published.end,
        "is_beyond": sessions.beyond,
        "months": list(_months(calendar, first, last)),
        "corrections": list(_corrections(market, first, last)),
        "example": EXAMPLE,
        "without_quotes": list(_days_without_quotes(calendar, first, last)),
    }
    return TemplateResponse(request, "admin/calendar/calendar.html", context)


def _months(calendar: Calendar, first: date, last: date) -> Any:
    """Yields each month's number of sessions, its closed weekdays and its sessions at weekends."""
    days = set(calendar.sessions(first, last).days)
    weekdays = calendars.weekdays(first, last)
    for month in range(1, 13):
        sessions = [day for day in sorted(days) if day.month == month]
        yield {
            "name": f"{first.year}-{month:02}",
            "sessions": len(sessions),
            "closed": _days(day for day in weekdays if day.month == month and day not in days),
            "weekend": _days(day for day in sessions if day.weekday() > 4),
        }


def _days(days: Iterable[date]) -> str:
    """Returns days of one month, "9, 12"; "" for none."""
    return list_words(day.day for day in days)


def _corrections(market: str, first: date, last: date) -> Any:
    for row in CalendarDay.objects.filter(market=market, day__range=(first, last)).order_by("day"):
        yield {
            "day": row.day.isoformat(),
            "status": formatting.badge("good", "check_circle", _("trading day"))
            if row.is_session
            else formatting.badge("plain", "event_busy", _("closed")),
            "note": row.note,
            "by": row.changed_by or _("not recorded"),
            "at": formatting.timestamp(row.changed_at, seconds=False),
        }


def _days_without_quotes(calendar: Calendar, first: date, last: date) -> Any:
    """Yields the days of which a source had no quotes, and whether the calendar knows them as closed."""
    for one in silent_days.find(calendar.market, first, last):
        yield {
            "day": one.day.isoformat(),
            "source": one.source,
            "stocks": formatting.number(one.stocks),
            "at": formatting.timestamp(one.asked_at, seconds=False),
            "later": _("yes") if one.is_proven else _("no: it may only have been late"),
            "is_closed": calendar.is_session(one.day) is False,
        }
