"""A stock's number of bars and last day follow its series, whoever writes them."""

from datetime import date
from importlib import import_module

import pytest
from django.db import connection

from tasks_app.models import Series, Stock

pytestmark = pytest.mark.django_db
migration = import_module("tasks_app.migrations.0059_sorted_stocks")
EARLY, LATE = date(2024, 1, 2), date(2024, 6, 28)


def make_stock(code="AAPL"):
    return Stock.objects.create(market="US", code=code)


def make_series(adjust, bars, last_day, symbol="AAPL", market="US"):
    return Series.objects.create(
        market=market, symbol=symbol, adjust=adjust, bars=bars, last_day=last_day, first_day=last_day
    )


def sums(code="AAPL"):
    return Stock.objects.values_list("bars", "last_day").get(market="US", code=code)


def test_sums_are_those_of_the_longest_series_and_of_the_last_day():
    make_stock()
    assert sums() == (0, None)
    make_series("", 5, EARLY)
    assert sums() == (5, EARLY)
    make_series("qfq", 3, LATE)
    make_series("other", 9, date(2025, 1, 1))  # none of the listed adjustments
    make_series("", 8, LATE, market="HK")
    assert sums() == (5, LATE)


def test_sums_follow_updates_upserts_and_deletions():
    make_stock()
    plain, adjusted = make_series("", 5, EARLY), make_series("qfq", 3, LATE)
    Series.objects.filter(pk=plain.pk).update(bars=2)
    assert sums() == (3, LATE)
    Series.objects.bulk_create(
        [Series(market="US", symbol="AAPL", adjust="", bars=7, last_day=EARLY)],
        update_conflicts=True,
        unique_fields=["market", "adjust", "symbol"],
        update_fields=["bars", "last_day"],
    )
    assert sums() == (7, LATE)
    adjusted.delete()
    assert sums() == (7, EARLY)
    Series.objects.all().delete()
    assert sums() == (0, None)


def test_sums_follow_a_change_of_code():
    make_stock(), make_stock("META")
    series = make_series("", 5, EARLY)
    Series.objects.filter(pk=series.pk).update(symbol="META")
    assert (sums(), sums("META")) == ((0, None), (5, EARLY))


def test_stock_that_is_added_after_its_series_has_their_sums():
    make_series("", 5, EARLY)
    make_stock(), make_stock("META")
    assert (sums(), sums("META")) == ((5, EARLY), (0, None))


def test_migration_sums_up_what_was_stored_before():
    make_stock(), make_stock("META")
    make_series("", 5, EARLY), make_series("hfq", 3, LATE), make_series("other", 9, LATE)
    Stock.objects.update(bars=1, last_day=None)
    with connection.cursor() as cursor:
        cursor.execute(migration.SUM_UP_SERIES)
    assert (sums(), sums("META")) == ((5, LATE), (0, None))
