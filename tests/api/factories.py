"""Makes clients, stocks and bars for the tests of the API."""

from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from tasks_app.models import DailyBar, Stock
from tests.factories import sign_in

BASE = "/api/data-collection"
START = f"{BASE}/historical"


def client_of(user: User | None = None) -> APIClient:
    """Returns a client that sends JSON, logged in as `user` by session."""
    client = APIClient()
    if user:
        sign_in(client, user)
    return client


def send(client: APIClient, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    """Posts a raw body to start a collection; returns the response."""
    return client.generic("POST", START, body, content_type=content_type, headers=headers)


def make_stock(market: str, code: str, *, full: bool = False, **fields: Any) -> Stock:
    """Creates a listed stock."""
    done = {"full_collection_completed": full, "full_collection_date": timezone.now() if full else None}
    return Stock.objects.create(market=market, code=code, name=f"{code} Inc.", **done, **fields)


def make_bars(stock: Stock, count: int, first: date = date(2024, 1, 1), **fields: Any) -> None:
    """Creates bars of consecutive days."""
    defaults = {"open": 1.5, "high": 2.0, "low": 1.0, "close": 1.75, "volume": 100, "source": "sample"}
    DailyBar.objects.bulk_create(
        DailyBar(market=stock.market, symbol=stock.code, day=first + timedelta(n), **{**defaults, **fields})
        for n in range(count)
    )
