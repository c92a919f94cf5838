"""Keyset pages: every row once, in order, however the list changes meanwhile."""

import random
from datetime import date, timedelta
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from tasks_app.db import keyset
from tasks_app.models import CollectionTask, DailyBar, Stock

pytestmark = pytest.mark.django_db
BARS = ["market", "symbol", "adjust", "-day"]


def make_bars(*groups, days=7):
    """Creates bars of the (market, symbol, adjustment) groups in random order."""
    fields = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "source": "x"}
    bars = [
        DailyBar(market=market, symbol=symbol, adjust=adjust, day=date(2024, 1, 1) + timedelta(n), **fields)
        for market, symbol, adjust in groups
        for n in range(days)
    ]
    random.Random(1).shuffle(bars)
    DailyBar.objects.bulk_create(bars)


def all_pages(rows, ordering, size, *, backwards=False):
    """Yields the rows of every page, from one end of the list to the other."""
    columns = keyset.order_columns(rows.model, ordering)
    position = keyset.Position(backwards=backwards)
    while True:
        page = keyset.fetch_page(rows, columns, position, size)
        yield page.rows
        key = page.before if backwards else page.after
        if key is None:
            return
        position = keyset.parse_position(columns, **{"before" if backwards else "after": key})


@pytest.mark.parametrize("ordering", [BARS, ["-market", "symbol", "-adjust", "day"], ["day", "-id"], ["-pk"]])
@pytest.mark.parametrize("size", [4, 100, *(pytest.param(size, marks=pytest.mark.soak) for size in (1, 7))])
def test_pages_hold_every_row_once_in_order(ordering, size):
    make_bars(("US", "AAPL", ""), ("US", "AAPL", "qfq"), ("CN", "000001", ""), ("HK", "00001", "hfq"))
    rows = DailyBar.objects.all()
    expected = list(rows.order_by(*ordering))
    forwards = [row for page in all_pages(rows, ordering, size) for row in page]
    assert forwards == expected
    pages = list(all_pages(rows, ordering, size, backwards=True))
    backwards = [row for page in reversed(pages) for row in page]
    assert list(dict.fromkeys(backwards)) == expected
    assert all(len(page) == min(size, len(expected)) for page in pages)


@pytest.mark.parametrize("ordering", [["last_day", "market", "code"], ["-last_day", "-market", "-code"]])
@pytest.mark.parametrize("size", [2, *(pytest.param(size, marks=pytest.mark.soak) for size in (1, 3, 100))])
@pytest.mark.parametrize("with_day", [0, 2, 5])
def test_rows_without_a_value_are_last_in_either_direction(ordering, size, with_day):
    days = [date(2024, 1, 1 + n // 2) if n < with_day else None for n in range(5)]
    Stock.objects.bulk_create(Stock(market="US", code=f"S{n}", last_day=day) for n, day in enumerate(days))
    ordered = sorted(Stock.objects.all(), key=lambda one: (one.last_day or date.max, one.code))
    expected = ordered
    if ordering[0].startswith("-"):
        expected = [*reversed(ordered[:with_day]), *reversed(ordered[with_day:])]
    rows = Stock.objects.all()
    assert [row for page in all_pages(rows, ordering, size) for row in page] == expected
    pages = list(all_pages(rows, ordering, size, backwards=True))
    assert list(dict.fromkeys(row for page in reversed(pages) for row in page)) == expected
    assert all(len(page) == min(size, 5) for page in pages)


def test_page_is_stable_while_rows_are_inserted():
    make_bars(("US", "M", ""))
    columns, rows = keyset.order_columns(DailyBar, BARS), DailyBar.objects.all()
    second = keyset.parse_position(
        columns, keyset.fetch_page(rows, columns, keyset.Position(), 3).after, None
    )
    earlier = keyset.fetch_page(rows, columns, second, 3)
    make_bars(("US", "A", ""))
    assert keyset.fetch_page(rows, columns, second, 3) == earlier


def test_partial_page_before_key_is_first_page():
    make_bars(("US", "M", ""))
    columns, rows = keyset.order_columns(DailyBar, BARS), DailyBar.objects.all()
    first = keyset.fetch_page(rows, columns, keyset.Position(), 5)
    third = keyset.parse_position(columns, None, f'["US","M","","{first.rows[2].day}"]')
    assert keyset.fetch_page(rows, columns, third, 5) == first
    assert first.is_first


def test_page_beyond_all_rows_is_empty():
    make_bars(("US", "M", ""))
    columns, rows = keyset.order_columns(DailyBar, BARS), DailyBar.objects.all()
    position = keyset.parse_position(columns, '["US","Z","","2024-01-01"]')
    assert keyset.fetch_page(rows, columns, position, 5) == keyset.Page([], None, None, False)


@pytest.mark.parametrize(
    "key",
    [
        *("", "x", "[]", "{}", "1", "null", '["US","A",""]', '["US","A","","2024-01-01",1]'),
        *('["XX","A","","2024-01-01"]', '["US","A","","2024-1-1"]', '["US","A\\u0000","","2024-01-01"]'),
        *('["US",null,"","2024-01-01"]', '["US",["A"],"","2024-01-01"]', '["US","A","x","2024-01-01"]'),
        *(f'["US","{"A" * 17}","","2024-01-01"]', "[" * 100_000, '[1e999,"A","","2024-01-01"]'),
    ],
)
def test_malformed_key_is_rejected(key):
    columns = keyset.order_columns(DailyBar, BARS)
    if not key:
        assert keyset.parse_position(columns, key, key) == keyset.Position()
        return
    for pair in ((key, None), (None, key)):
        with pytest.raises(ValidationError):
            keyset.parse_position(columns, *pair)


@pytest.mark.parametrize("number", ["-1", "1e3", "true", "99999999999999999999999999"])
def test_number_out_of_range_is_rejected(number):
    with pytest.raises(ValidationError):
        keyset.parse_position(keyset.order_columns(Stock, ["pk"]), f"[{number}]".replace("-1", "-1.5"), None)


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="on SQLite a key holds the time as text")
@pytest.mark.parametrize("offset", ["+23:59", "-15:59", "+00:01"])
def test_time_with_an_offset_is_rejected(offset):
    columns = keyset.order_columns(CollectionTask, ["-start_time", "-id"])
    with pytest.raises(ValidationError):
        keyset.parse_position(columns, f'["2026-01-01T00:00:00{offset}","{UUID(int=1)}"]')
    assert keyset.parse_position(columns, f'["2026-01-01T00:00:00+00:00","{UUID(int=1)}"]').key


@pytest.mark.parametrize("ordering", [["-start_time", "-id"], BARS, ["market", "code"], ["-pk"]])
def test_page_reads_a_range_of_an_index(ordering):
    """The query plan names the condition on either database: no scan from the start of the list."""
    model = {"-start_time": CollectionTask, "market": DailyBar if ordering == BARS else Stock}.get(
        ordering[0], DailyBar
    )
    columns = keyset.order_columns(model, ordering)
    key = tuple(_sample(column) for column in columns)
    for same, beyond in keyset._ranges_beyond(columns, key):
        rows = model.objects.filter(beyond, **same).order_by(*ordering)[:10]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            plan = rows.explain()
        assert ("Index Cond" if connection.vendor == "postgresql" else "SEARCH") in plan


def _sample(column):
    return {"start_time": "2026-01-01T00:00:00Z", "day": "2024-01-01", "market": "CN", "adjust": ""}.get(
        column.name, "8" * 32 if column.field.model is CollectionTask else 1
    )
