"""Price limits of the mainland's boards."""

from datetime import date

import pytest

from tasks_app.market.price_limits import PriceLimits, price_limit_for
from tasks_app.models import Stock

DAY = date(2024, 3, 1)


@pytest.mark.parametrize(
    ("code", "day", "limit"),
    [
        ("600000", DAY, 0.10),
        ("000001", DAY, 0.10),
        ("300750", date(2020, 8, 21), 0.10),
        ("300750", date(2020, 8, 24), 0.20),
        ("301236", DAY, 0.20),
        ("688981", DAY, 0.20),
        ("430047", DAY, 0.30),
        ("830799", DAY, 0.30),
        ("920002", DAY, 0.30),
        ("510300", DAY, 0.20),
    ],
)
def test_limit_by_board_and_day(code, day, limit):
    assert PriceLimits(code).limit_on(day) == limit


def test_st_limit_applies_since_the_renaming():
    stock = Stock(
        market="CN", code="600001", name="*ST邯钢", former_names=[{"name": "邯钢", "until": "2024-02-01"}]
    )
    limits = price_limit_for("CN", "600001", stock)
    assert (limits.limit_on(date(2024, 1, 31)), limits.limit_on(date(2024, 2, 1))) == (0.10, 0.05)
    stock.former_names = []
    assert price_limit_for("CN", "600001", stock).limit_on(DAY) == 0.10, "unknown since when"


def test_other_markets_have_no_limit():
    assert price_limit_for("US", "AAPL", None) is price_limit_for("HK", "00700", None) is None
