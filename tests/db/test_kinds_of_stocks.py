"""The migration that tells funds and indices from stocks by their codes."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from tasks_app.models import Stock

migration = import_module("tasks_app.migrations.0023_instruments_and_day_columns")
KINDS = {
    "600000": "stock", "000001": "stock", "300750": "stock", "920002": "stock", "200011": "stock",
    "510300": "etf", "159915": "etf", "160105": "etf",
    "399001.SZ": "index", "000300.SH": "index", "899050.BJ": "index",
}  # fmt: skip


@pytest.mark.django_db
def test_stored_stocks_get_their_kind():
    Stock.objects.bulk_create(Stock(market="CN", code=code) for code in KINDS)
    Stock.objects.create(market="SIM", code="510300")
    migration.set_kinds(apps, None)
    assert dict(Stock.objects.filter(market="CN").values_list("code", "kind")) == KINDS
    assert Stock.objects.get(market="SIM").kind == "stock"


@pytest.mark.django_db
def test_new_columns_of_bars_rewrite_no_row():
    operations = [
        operation.field
        for operation in migration.Migration.operations
        if getattr(operation, "model_name", "") == "dailybar"
    ]
    assert len(operations) == 3
    assert all(field.null and not field.has_default() and not field.has_db_default() for field in operations)
    assert connection.vendor in ("sqlite", "postgresql"), "which add such a column without touching a row"
