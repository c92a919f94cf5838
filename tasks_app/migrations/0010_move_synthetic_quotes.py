"""Moves what the source `simulated` stored under real markets into the market SIM. No bar is lost.

Every bar has its source, so which bars move is known. What else is known is derived from rows that say so,
never guessed:

- a finding has the source of its item or, where the item was deleted with its task, of the bars that carry
  the item's id; without either its source stays "" (unknown);
- a correction has its own source; whose values it replaced was not recorded (`previous_source` stays "");
- which source answered for days without a bar was not recorded: a real series into which `simulated` wrote
  keeps its bars and loses its answered days, so that they are requested again;
- whose full history was complete was not recorded either: such stocks are no longer marked as complete.

Tasks move if every source of theirs is made up. A task that named a real one, too, keeps its market. Sources
of third parties whose quotes are made up are not known here: `manage.py data delete` deletes what they stored.
"""

from collections import defaultdict
from itertools import islice

from django.db import migrations
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Subquery
from django.db.models.functions import Now

SOURCE, MARKET, REAL = "simulated", "SIM", ("CN", "HK", "US")
LONGEST_CODE = 16
BATCH = 500


def move(apps, schema_editor):
    models = {name: apps.get_model("tasks_app", name) for name in NAMES}
    models["SyntheticSource"].objects.get_or_create(name=SOURCE)
    attribute_findings(models["Finding"], models["DailyBar"], models["CollectionItem"])
    stored = stored_series(models["DailyBar"])
    answered = answered_series(models["CollectionItem"])
    stocks = models["Stock"].objects
    named = {
        (market, code)
        for market, code, name in stocks.filter(name__startswith="Simulated ").values_list(
            "market", "code", "name"
        )
        if name == f"Simulated {code}"
    }
    codes = new_codes({(market, code) for market, code, _ in stored} | named)
    move_rows(models["DailyBar"], codes)
    move_rows(models["Correction"], codes)
    move_rows(models["Finding"], codes)
    move_series(models, stored, answered, codes)
    move_stocks(models, stored, named, codes)
    move_lists(models["StockList"])
    for name in ("CollectionTask", "CollectionPlan"):
        alone = Q(fallbacks=[]) if name == "CollectionTask" else Q()
        models[name].objects.filter(alone, source=SOURCE).update(market=MARKET)


NAMES = (
    *("CollectionItem", "CollectionPlan", "CollectionTask", "Correction", "DailyBar", "Finding"),
    *("Series", "Stock", "StockList", "SyntheticSource"),
)


def attribute_findings(Finding, DailyBar, CollectionItem):
    """Gives findings their source: that of their item, else that of bars with the item's id."""
    item = CollectionItem.objects.filter(pk=OuterRef("item_id")).exclude(source="")
    Finding.objects.filter(Exists(item)).update(source=Subquery(item.values("source")[:1]))
    rest = Finding.objects.filter(source="", item_id__isnull=False)
    keys = rest.values_list("market", "symbol", "adjust", "item_id").distinct()
    for market, symbol, adjust, item_id in list(keys):
        key = {"market": market, "symbol": symbol, "adjust": adjust, "item_id": item_id}
        sources = set(DailyBar.objects.filter(**key).values_list("source", flat=True).distinct())
        if len(sources) == 1:
            Finding.objects.filter(**key, source="").update(source=sources.pop())


def stored_series(DailyBar):
    """The series with bars of `simulated`: their number, first and last day by market, code and adjustment."""
    bars = DailyBar.objects.filter(source=SOURCE, market__in=REAL).values_list("market", "symbol", "adjust")
    rows = bars.annotate(Count("pk"), Min("day"), Max("day")).order_by()
    return {row[:3]: row[3:] for row in rows.iterator()}


def answered_series(CollectionItem):
    """The series for which `simulated` answered, according to the items that are still there."""
    items = CollectionItem.objects.filter(source=SOURCE, task__market__in=REAL)
    return set(items.values_list("task__market", "code", "task__adjust").distinct())


def new_codes(keys):
    """The codes in the new market of those that would meet there: a code that came from two markets."""
    markets = defaultdict(list)
    for market, code in sorted(keys):
        markets[code].append(market)
    taken, renamed = set(markets), {}
    for code, several in markets.items():
        for market in several[1:]:
            new = f"{code}.{market}"[-LONGEST_CODE:]
            while new in taken:
                new = f"{new[1:]}_"
            taken.add(new)
            renamed[market, code] = new
    return renamed


def move_rows(model, codes):
    """Moves the source's rows of a table; those with a new code first."""
    mine = model.objects.filter(source=SOURCE, market__in=REAL)
    for (market, code), new in codes.items():
        mine.filter(market=market, symbol=code).update(market=MARKET, symbol=new)
    mine.update(market=MARKET)


def move_series(models, stored, answered, codes):
    """Splits the series: what moved becomes one of the new market, what stays is counted anew."""
    Series, DailyBar = models["Series"], models["DailyBar"]
    new = []
    for key in sorted(stored.keys() | answered):
        market, symbol, adjust = key
        row = Series.objects.filter(market=market, symbol=symbol, adjust=adjust)
        left = DailyBar.objects.filter(market=market, symbol=symbol, adjust=adjust).aggregate(
            bars=Count("pk"), first_day=Min("day"), last_day=Max("day")
        )
        covered = row.values_list("covered", flat=True).first() or []
        if left["bars"]:  # which source answered for which days is not known
            row.update(**left, covered=[], updated_at=Now())
        else:
            row.delete()
        if key in stored:
            bars, first, last = stored[key]
            new.append(
                Series(
                    market=MARKET,
                    symbol=codes.get((market, symbol), symbol),
                    adjust=adjust,
                    bars=bars,
                    first_day=first,
                    last_day=last,
                    covered=[] if left["bars"] else covered,
                )
            )
    for batch in batches(new):
        Series.objects.bulk_create(batch)


def move_stocks(models, stored, named, codes):
    """A stock that only `simulated` knows moves; one that a real source knows, too, gets its real name back."""
    Stock = models["Stock"]
    with_bars = {(market, symbol) for market, symbol, _ in stored}
    listed = set(models["StockList"].objects.exclude(source=SOURCE).values_list("market", flat=True))
    new = []
    for market, code in sorted(with_bars | named):
        stock = Stock.objects.filter(market=market, code=code).first()
        new.append(
            Stock(
                market=MARKET,
                code=codes.get((market, code), code),
                name=f"Simulated {code}" if (market, code) in named else "",
                exchange=MARKET,
            )
        )
        if stock is None:
            continue
        is_simulated = stock.name == f"Simulated {code}"
        former = [one for one in stock.former_names if one.get("name") != f"Simulated {code}"]
        has_bars = models["DailyBar"].objects.filter(market=market, symbol=code).exists()
        is_real = former if is_simulated else stock.name or market in listed
        if not (has_bars or is_real):
            stock.delete()
            continue
        if is_simulated:  # its real name is the last one before, if there was any
            stock.name = former.pop()["name"] if former else ""
        stock.former_names = former
        stock.full_collection_completed, stock.full_collection_date = False, None
        stock.save()
    for batch in batches(new):
        Stock.objects.bulk_create(batch, ignore_conflicts=True)


def move_lists(StockList):
    """Of the lists of several markets the newest stays: there is one market now."""
    lists = StockList.objects.filter(source=SOURCE)
    if newest := lists.order_by("-synced_at").first():
        lists.exclude(pk=newest.pk).delete()
        lists.update(market=MARKET)


def batches(rows):
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0009_synthetic_market_and_deletions'),
    ]

    operations = [
        migrations.RunPython(move),
    ]
