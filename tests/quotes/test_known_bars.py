"""Bars of many series as they were at a moment, read at once: the same as read one by one."""

import os
import random
from datetime import date, timedelta

import pytest
from django.db import transaction

from tasks_app.history.versions import known_bars, moment_of
from tasks_app.models import DailyBar
from tasks_app.quotes.bulk_read import known_bars as at_once
from tasks_app.quotes.bulk_read.part import Span
from tests.factories import settle

pytestmark = pytest.mark.django_db
CODES = ("000001", "000002", "000003", "000004")
COLUMNS = ["day", "close", "volume", "amount", "is_st", "source", "collected_at"]
FIRST = date(2024, 1, 1)
SEEDS = int(os.environ.get("SOAK_EXAMPLES", "1"))


def new_bar(chance: random.Random, code: str, day: date) -> DailyBar:
    close = chance.randint(100, 200) / 10
    prices = {"open": close, "high": close, "low": close, "close": close}
    told = {"amount": chance.choice([None, 5.5]), "is_st": chance.choice([None, True, False])}
    return DailyBar(
        market="CN", symbol=code, day=day, **prices, volume=chance.randint(1, 99), source="csv", **told
    )


def change_something(chance: random.Random) -> None:
    """Adds, corrects, removes or moves some bars of one code."""
    code = chance.choice(CODES)
    days = [
        FIRST + timedelta(days=number) for number in sorted(chance.sample(range(20), chance.randint(1, 12)))
    ]
    bars = DailyBar.objects.filter(market="CN", symbol=code, adjust="")
    verb = chance.choice(["add", "add", "correct", "remove", "move"])
    if verb == "add":
        stored = set(bars.values_list("day", flat=True))
        DailyBar.objects.bulk_create(new_bar(chance, code, day) for day in days if day not in stored)
    elif verb == "correct":
        bars.filter(day__in=days).update(volume=chance.randint(100, 999), source="other")
    elif verb == "remove":
        bars.filter(day__in=days).delete()
    elif (bar := bars.first()) and not bars.filter(day=days[0]).exists():
        bars.filter(pk=bar.pk).update(day=days[0])


def values_of(bars: at_once.Bars, spans: list[Span]) -> list[tuple[object, ...]]:
    columns = [bars.columns[name].tolist() for name in COLUMNS]
    return [(spans[part].code, *values) for part, *values in zip(bars.part.tolist(), *columns, strict=True)]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_many_series_at_once_are_what_each_of_them_was(monkeypatch, seed):
    chance, numbers = random.Random(seed), []
    for _ in range(12):
        with transaction.atomic():
            for _ in range(chance.randint(1, 3)):
                change_something(chance)
        numbers.append(settle())
    whole = date.min, date.max
    for number in numbers[3::4]:
        moment = moment_of(str(number))
        for first, last in (whole, (FIRST + timedelta(days=4), FIRST + timedelta(days=11))):
            spans = [Span(code=code, first=first, last=last, bars=20, is_known=True) for code in CODES]
            expected = []
            for place, span in enumerate(spans):
                rows = known_bars("CN", span.code, "", moment, (first, last))
                arrays = {name: at_once.to_array(name, [row[name] for row in rows]) for name in COLUMNS}
                part = at_once.np.full(len(rows), place)
                expected += values_of(at_once.Bars(part, arrays), spans)
            for group in (7, 65_536):
                monkeypatch.setattr(at_once, "GROUP", group)
                found = at_once.read_known("CN", "", spans, COLUMNS, moment)
                assert repr([row for bars in found for row in values_of(bars, spans)]) == repr(expected)
