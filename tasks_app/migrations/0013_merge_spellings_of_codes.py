"""Merges what is stored of one security under several spellings of its code. No bar is lost.

Which spellings are one security is decided by `sources.security_codes`, the rules by which this version asks
for stocks: after the upgrade, a series under any other spelling would never be continued. Codes that those
rules call unclear (a 2 of a spreadsheet, sh.000001) stay as they are.

- A bar of a day that the canonical series lacks moves there, with its source and task.
- A bar that equals the canonical one in every value that it has is a second copy, and is deleted.
- A bar with other values is a fact of its own: the canonical series keeps its bar, the other one stays under
  the old spelling, where API and pages still show it, and a finding of the canonical series says so. Neither
  is known to be the wrong one.
- Adjusted prices are relative to a base. Two adjusted series are merged only if they agree on all days that
  both have, and have some; otherwise the other one stays as a whole.
- Answered days are merged only from a series with bars: a vendor may answer a spelling that it does not
  understand with nothing, and days without a bar would then never be asked for.
- Items of ended tasks, and the codes with which tasks were ordered, are a record and stay.
"""

from datetime import date, timedelta
from math import isclose

from django.db import migrations
from django.db.models import Count, Exists, Max, Min, OuterRef
from django.db.models.functions import Now

from tasks_app.sources.security_codes import canonical_or_same

REAL = ("CN", "HK", "US")
VALUES = (
    *("open", "high", "low", "close", "prev_close", "volume", "amount", "amplitude", "change"),
    *("change_pct", "turnover"),
)
NAMES = ("CodeChange", "CollectionItem", "Correction", "DailyBar", "Finding", "Series", "Stock")
BATCH = 500
FACEBOOK = {"market": "US", "old_code": "FB", "new_code": "META", "changed_on": date(2022, 6, 9)}


def merge(apps, schema_editor):
    models = {name: apps.get_model("tasks_app", name) for name in NAMES}
    models["CodeChange"].objects.get_or_create(**FACEBOOK)
    for market, symbol in sorted(stored_codes(models)):
        code = canonical_or_same(market, symbol)
        if code != symbol:
            merge_code(models, market, symbol, code)


def stored_codes(models):
    """The market and code of everything that is stored under real markets."""
    stored = set(models["Stock"].objects.filter(market__in=REAL).values_list("market", "code"))
    for name in ("DailyBar", "Series", "Correction", "Finding"):
        rows = models[name].objects.filter(market__in=REAL).order_by()
        stored |= set(rows.values_list("market", "symbol").distinct())
    return stored


def merge_code(models, market, symbol, code):
    key = {"market": market, "symbol": symbol}
    bars = models["DailyBar"].objects.filter(**key)
    adjusts = set(models["Series"].objects.filter(**key).values_list("adjust", flat=True))
    adjusts |= set(bars.order_by().values_list("adjust", flat=True).distinct())
    for adjust in sorted(adjusts):
        merge_series(models, {**key, "adjust": adjust}, {"market": market, "symbol": code, "adjust": adjust})
    kept = {(bar["adjust"], bar["day"]) for bar in bars.values("adjust", "day").iterator()}
    for name in ("Correction", "Finding"):
        rows = models[name].objects.filter(**key)
        keys = [pk for pk, *place in rows.values_list("pk", "adjust", "day") if tuple(place) not in kept]
        for few in batches(keys):
            models[name].objects.filter(pk__in=few).update(symbol=code)
    merge_stock(models["Stock"], market, symbol, code, keeps_bars=bool(kept))
    rename_open_items(models["CollectionItem"], market, symbol, code)


def merge_series(models, old, new):
    """Moves the bars of one series into another, as far as the two agree."""
    DailyBar, Series = models["DailyBar"], models["Series"]
    theirs, own = DailyBar.objects.filter(**old), DailyBar.objects.filter(**new)
    had_bars = theirs.exists()
    same, differing = shared_days(theirs, own)
    covered = Series.objects.filter(**old).values_list("covered", flat=True).first() or []
    if not (old["adjust"] and own.exists() and (differing or not same)):
        for few in batches(same):
            theirs.filter(pk__in=few).delete()
        lacking = ~Exists(own.filter(day=OuterRef("day")))
        theirs.filter(lacking).update(symbol=new["symbol"])
        if had_bars:
            add_series(Series, new, own, covered)
    if not theirs.exists():
        Series.objects.filter(**old).delete()
        return
    add_series(Series, old, theirs, [])
    found = theirs.aggregate(bars=Count("pk"), first=Min("day"), last=Max("day"))
    why = "adjusted bars of perhaps another base" if old["adjust"] else "bars with other values"
    models["Finding"].objects.create(
        **new,
        kind="flagged",
        code="other_spelling",
        message=f"{found['bars']} {why}, from {found['first']} to {found['last']}, stay stored as "
        f"{old['symbol']}.",
    )


def shared_days(theirs, own):
    """The keys of the bars that another series has, too: those with equal values, and the others."""
    stored = {row[0]: row[1:] for row in own.values_list("day", *VALUES)}
    same, differing = [], []
    for pk, day, *values in theirs.values_list("pk", "day", *VALUES):
        if day in stored:
            (same if is_copy(values, stored[day]) else differing).append(pk)
    return same, differing


def is_copy(values, stored):
    """Whether a bar says nothing that the stored one doesn't; numbers may differ by representation."""
    pairs = zip(values, stored, strict=True)
    return all(
        one is None or (other is not None and isclose(one, other, rel_tol=1e-9)) for one, other in pairs
    )


def add_series(Series, key, bars, covered):
    """Writes a series' row for its bars, with further answered days."""
    values = bars.aggregate(bars=Count("pk"), first_day=Min("day"), last_day=Max("day"))
    known = Series.objects.filter(**key).values_list("covered", flat=True).first() or []
    values["covered"] = union([*known, *covered])
    Series.objects.update_or_create(**key, defaults={**values, "updated_at": Now()})


def union(ranges):
    """The days of several lists of ranges as ascending, disjoint ranges."""
    merged = []
    for first, last in sorted(ranges):
        if merged and date.fromisoformat(first) <= date.fromisoformat(merged[-1][1]) + timedelta(days=1):
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


def merge_stock(Stock, market, symbol, code, *, keeps_bars):
    """What one row says of the stock and the other leaves open is kept."""
    old = Stock.objects.filter(market=market, code=symbol).first()
    new = Stock.objects.filter(market=market, code=code).first()
    if old is None:
        return
    if new is None:
        new = Stock.objects.get(pk=old.pk)
        if keeps_bars:
            new.pk, new.full_collection_completed, new.full_collection_date = None, False, None
        new.code = code
        new.save()
        return
    for field in ("name", "exchange", "listed_on", "delisted_on", "former_names"):
        if not getattr(new, field):
            setattr(new, field, getattr(old, field))
    new.save()
    if not keeps_bars:
        old.delete()


def rename_open_items(CollectionItem, market, symbol, code):
    """A running task goes on with the canonical code, unless it has that one, too."""
    items = CollectionItem.objects.filter(
        task__market=market, task__status="running", code=symbol, state__in=("pending", "claimed")
    )
    for item in items:
        if not CollectionItem.objects.filter(task_id=item.task_id, code=code).exists():
            CollectionItem.objects.filter(pk=item.pk).update(code=code)


def batches(keys):
    return (keys[first : first + BATCH] for first in range(0, len(keys), BATCH))


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0012_codes_of_securities'),
    ]

    operations = [
        migrations.RunPython(merge),
    ]
