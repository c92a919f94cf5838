"""The migration of full histories: a mark stays where the stored answers prove it, and no bar is touched."""

from datetime import date
from importlib import import_module

import pytest
from django.apps import apps

from tasks_app.models import Series, Stock

pytestmark = pytest.mark.django_db
migration = import_module("tasks_app.migrations.0018_full_history_by_adjustment")
LISTED = date(2020, 1, 2)
MARKED = "2024-06-28T10:00:00Z"


def migrate(covered, adjust="", **stock):
    """Returns the stock and its series after the migration."""
    marks = {"full_collection_completed": True, "full_collection_date": MARKED}
    Stock.objects.create(market="CN", code="600000", **marks, **stock)
    Series.objects.create(market="CN", symbol="600000", adjust=adjust, bars=5, covered=covered)
    migration.keep_proven_histories(apps, None)
    return Stock.objects.get(), Series.objects.get()


@pytest.mark.parametrize(
    ("covered", "stock", "is_proven"),
    [
        ([["2024-06-03", "2024-06-07"]], {}, False),  # five test days
        ([["2024-06-03", "2024-06-28"]], {}, False),  # the listing is not known
        ([["1990-12-19", "2024-06-28"]], {}, True),
        ([["2024-06-03", "2024-06-28"]], {"listed_on": date(2024, 6, 3)}, False),  # listed just then
        ([["2020-01-02", "2024-06-28"]], {"listed_on": LISTED}, True),
        ([["2020-01-02", "2024-01-31"]], {"listed_on": LISTED}, False),
        (
            [["2020-01-02", "2022-01-31"]],
            {"listed_on": LISTED, "delisted_on": date(2022, 1, 31)},
            True,
        ),
        (
            [["2020-01-02", "2021-01-04"], ["2021-06-01", "2024-06-28"]],
            {"listed_on": LISTED},
            False,
        ),
        ([], {"listed_on": LISTED}, False),
    ],
)
def test_mark_stays_only_where_it_is_proven(covered, stock, is_proven):
    stored, series = migrate(covered, **stock)
    assert (stored.full_collection_completed, bool(stored.full_collection_date)) == (is_proven, is_proven)
    assert (series.full_at is not None, series.bars, series.covered) == (is_proven, 5, covered)
    assert series.absences == [], "why older days have no bar stays unknown"


def test_proof_is_one_adjustments():
    _, series = migrate([["1990-12-19", "2024-06-28"]], adjust="qfq")
    assert (series.adjust, series.full_at is not None) == ("qfq", True)
