"""Full histories, by adjustment: kept only where the stored answers prove them.

Until now a stock counted as complete once the days of any one order were answered, in whatever adjustment. Bars
and answered days stay as they are. Why days without a bar have none was not recorded: it stays unknown.
"""

from datetime import date, timedelta
from typing import Any

from django.db import migrations

# The first day of each market's calendar, for stocks whose listing is not known.
FIRST_DAYS = {
    "CN": date(1990, 12, 19),
    "HK": date(1980, 1, 2),
    "US": date(1962, 1, 2),
    "SIM": date(1990, 1, 1),
}
LATENESS = timedelta(days=30)  # of the newest answered day, when the history was called full


def keep_proven_histories(apps: Any, schema_editor: Any) -> None:
    """Marks the series that one range of answered days proves, and withdraws the other stocks' marks."""
    Stock, Series = apps.get_model("tasks_app", "Stock"), apps.get_model("tasks_app", "Series")
    for stock in Stock.objects.filter(full_collection_completed=True).iterator(chunk_size=1000):
        first = stock.listed_on or FIRST_DAYS[stock.market]
        last = stock.delisted_on or stock.full_collection_date.date() - LATENESS
        series = Series.objects.filter(market=stock.market, symbol=stock.code)
        proven = [
            one.pk
            for one in series
            if any(start <= first.isoformat() and last.isoformat() <= end for start, end in one.covered)
        ]
        if first <= last and proven:
            Series.objects.filter(pk__in=proven).update(full_at=stock.full_collection_date)
        else:
            Stock.objects.filter(pk=stock.pk).update(
                full_collection_completed=False, full_collection_date=None
            )


class Migration(migrations.Migration):
    dependencies = [('tasks_app', '0017_reasons_of_missing_days')]
    operations = [migrations.RunPython(keep_proven_histories, migrations.RunPython.noop)]
