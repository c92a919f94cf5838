"""The source `sample`: real quotes, exactly as shipped."""

import gzip
import hashlib
from datetime import date

import pytest

from tasks_app.sources import sample
from tasks_app.sources.base import Bar, Permanent, Request, UnknownStock
from tasks_app.sources.sample import SampleSource
from tests.sources.factories import assert_valid


def whole_history(code: str) -> Request:
    return Request("US", code, date.min, date.max)


def test_sample_has_12154_bars_of_five_stocks() -> None:
    source = SampleSource()
    counts = {symbol.code: len(source.fetch(whole_history(symbol.code))) for symbol in source.symbols("US")}
    assert counts == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    assert sum(counts.values()) == 12_154


def test_every_shipped_row_is_valid() -> None:
    for bars in sample.bars_by_code().values():
        assert [bar.day for bar in bars] == sorted({bar.day for bar in bars})
        for bar in bars:
            assert_valid(bar)


def test_bars_are_what_the_vendor_sent() -> None:
    bars = SampleSource().fetch(whole_history("AAPL"))
    assert bars[0] == Bar(date(2000, 3, 1), 118.56, 132.06, 118.5, 130.31, 9_616_100)
    assert bars[-1].day == date(2013, 3, 1)
    assert bars[0].prev_close is None
    assert bars[0].amount is None


def test_listing_date_is_the_first_day_or_unknown() -> None:
    source = SampleSource()
    for symbol in source.symbols("US"):
        first = source.fetch(whole_history(symbol.code))[0].day
        assert symbol.listed_on in (None, first)


def test_adjusted_request_is_refused() -> None:
    with pytest.raises(Permanent):
        SampleSource().fetch(Request("US", "AAPL", date.min, date.max, "qfq"))


def test_stock_is_unknown_in_another_market() -> None:
    with pytest.raises(UnknownStock):
        SampleSource().fetch(Request("CN", "AAPL", date.min, date.max))


def test_shipped_file_is_unchanged() -> None:
    rows = gzip.decompress(sample.DATA.read_bytes())
    digest = "0d81dc652b8953a725391e1b00e4aa3b65f7c60e9081cc6690e3b61c5642cc98"
    assert hashlib.sha256(rows).hexdigest() == digest
