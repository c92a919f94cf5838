"""Waits in a terminal until a market's day is sealed."""

from datetime import date

from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.errors import CollectorError
from tasks_app.market import calendars
from tasks_app.models import MarketDay
from tasks_app.quotes.market_days import MarketListing, read_day
from tasks_app.quotes.sealed_days import wait_until_sealed

NAMED = 10


class NoSession(CollectorError):
    code = "no_session"
    template = gettext_lazy("The market %(market)s has no session on %(day)s.")


def until_sealed(market: str, kind: str, day: date, timeout: float) -> MarketDay:
    """Returns the day once it is sealed, or as it is after `timeout` seconds. Raises `NoSession`."""
    if day not in calendars.load_calendar(market).sessions(day, day).days:
        raise NoSession(market=market, day=day)
    return wait_until_sealed(market, kind, day, timeout)


def sentence(row: MarketDay) -> str:
    """Returns one sentence on the day: its checksum, or what it lacks."""
    params = {"market": row.market, "day": row.day, "revision": row.revision, "checksum": row.checksum}
    if row.sealed_at is not None:
        return _("%(market)s %(day)s is sealed, revision %(revision)d: %(checksum)s") % params
    contents = read_day(MarketListing(row.market, row.kind), row.day)
    if not (missing := contents.missing):
        text = (
            _("%(market)s %(day)s is not sealed.")
            if contents.bars
            else _("%(market)s %(day)s is not sealed: no bar is stored.")
        )
        return text % params
    codes = ", ".join([*missing[:NAMED], *(["…"] if len(missing) > NAMED else [])])
    text = _("%(market)s %(day)s is not sealed. Without a bar or a reason (%(count)d): %(codes)s")
    return text % {**params, "count": len(missing), "codes": codes}
