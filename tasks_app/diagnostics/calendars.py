"""Trading calendars: how far each market's is known."""

from collections.abc import Iterator
from datetime import date, timedelta

from tasks_app.conf import MARKETS
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.texts import gettext_lazy as _
from tasks_app.market import calendars
from tasks_app.models import CollectionPlan, Stock
from tasks_app.models.quotes import short_name
from tasks_app.sources.market_time import market_today

SOON = timedelta(days=45)  # China announces next year's holidays in November

KNOWN = ok("calendar_known", _("%(market)s: the calendar is known up to %(end)s."))
ENDS = warning(
    "calendar_ends",
    _(
        "%(market)s: the calendar is known up to %(end)s only. After that every weekday counts"
        " as a trading day."
    ),
    _("Update the package exchange_calendars, or import the days: %(manage)s calendar import FILE."),
    operations("calendars-and-stock-lists"),
)
UNREADABLE = fault(
    "calendar_unreadable",
    _("%(market)s: the calendar could not be read, so every weekday counts as a trading day."),
    _(
        "Install the requirements again (%(python)s -m pip install -r requirements.txt);"
        " the log has the error."
    ),
    operations("calendars-and-stock-lists"),
)


def examine(today: date | None = None) -> Iterator[Finding]:
    """Examines the markets that are in use: those with stocks or plans. Takes three queries."""
    known = calendars.load_calendars()
    for market in sorted(_markets_in_use()):
        calendar, day = known[market], today or market_today(market)
        end = calendar.published.end
        if not calendar.published.days:
            yield UNREADABLE(market=short_name(market))
            continue
        # A day that somebody corrected is known: imports of a coming year cover it without a hole.
        end = max([end, *(corrected for corrected in calendar.overrides if corrected.year > end.year)])
        yield (ENDS if end < day + SOON else KNOWN)(market=short_name(market), end=end)


def _markets_in_use() -> set[str]:
    plans = CollectionPlan.objects.filter(enabled=True).values_list("market", flat=True)
    found = {market for market in MARKETS if Stock.objects.filter(market=market).exists()}
    return found | (set(plans) & set(MARKETS))
