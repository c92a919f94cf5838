"""Which parts of bars changed since an earlier export, by the numbers of the changes."""

from dataclasses import dataclass
from datetime import date

from django.db.models.functions import Coalesce

from tasks_app.exports.manifest import Manifest
from tasks_app.exports.selection import Selection
from tasks_app.history.versions import BAR_KINDS, read_numbers
from tasks_app.models import Change


@dataclass(frozen=True)
class Base:
    """An earlier export: its parts' versions by key, the number up to which it holds all, and that of now."""

    versions: dict[str, str]
    since: int
    until: int


def last_change() -> tuple[int, str]:
    """Returns the last number, and its time as text: so the numbers of two databases are told apart."""
    number = read_numbers().last
    at = Change.objects.values_list("at", flat=True).get(number=number)
    return number, at.isoformat() if at else ""


def since(before: Manifest, selection: Selection) -> int | None:
    """Returns the number of an export from which all changes are kept; None if there is none.

    None also for an export from before numbers were noted, of another database, or of an earlier moment.
    """
    if selection.as_of is not None or before.number is None:
        return None
    at = Change.objects.filter(number=before.number).values_list("at", flat=True).first()
    is_kept = read_numbers().first <= before.number
    return before.number if is_kept and at and at.isoformat() == before.number_at else None


def changed_years(selection: Selection, base: Base) -> set[tuple[str, int]]:
    """Returns the markets and years of which a selected bar may have changed since the base."""
    numbers = {"number__gt": base.since, "number__lte": base.until}
    later = Change.objects.filter(**selection.stocks, **numbers, kind__in=BAR_KINDS)
    first, last = selection.first or date.min, selection.last or date.max
    spans = later.values_list("market", Coalesce("first_day", first), Coalesce("last_day", last)).distinct()
    return {
        (market, year)
        for market, begin, end in spans.iterator()
        for year in range(max(begin, first).year, min(end, last).year + 1)
    }
