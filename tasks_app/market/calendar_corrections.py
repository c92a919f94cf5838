"""Corrections of the trading calendar: one day, or a file of days."""

from collections.abc import Iterable

from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_app.conf import ALL_MARKETS
from tasks_app.market import csv_import
from tasks_app.market.csv_import import CsvSchema
from tasks_app.models import CalendarDay

STATUSES = {"open": True, "closed": False, "开市": True, "休市": False}


def _override(values: dict[str, str]) -> CalendarDay:
    market, status = values["market"].upper(), values["status"].lower()
    if market not in ALL_MARKETS:
        known = ", ".join(ALL_MARKETS)
        raise ValueError(_("“%(text)s” is none of %(known)s") % {"text": values["market"], "known": known})
    if status not in STATUSES:
        raise ValueError(_("“%(text)s” is neither open nor closed") % {"text": values["status"]})
    day = csv_import.parse_day(values["day"])
    return CalendarDay(market=market, day=day, is_session=STATUSES[status], note=values.get("note", "")[:200])


OVERRIDES = CsvSchema(
    {
        "market": ("market", "市场"),
        "day": ("day", "date", "日期"),
        "status": ("status", "kind", "open|closed", "state", "状态"),
        "note": ("note", "备注"),
    },
    ("market", "day", "status"),
    _override,
)


def store(corrections: Iterable[CalendarDay], by: str) -> int:
    """Stores corrections in place of older ones of the same days; returns of how many days."""
    days = {(row.market, row.day): row for row in corrections}
    for row in days.values():
        row.changed_by, row.changed_at = by, Now()
    CalendarDay.objects.bulk_create(
        days.values(),
        update_conflicts=True,
        unique_fields=["market", "day"],
        update_fields=["is_session", "note", "changed_by", "changed_at"],
    )
    return len(days)
