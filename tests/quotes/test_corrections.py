"""Which differences between a stored and a new bar are corrections."""

from datetime import date

import pytest

from tasks_app.quotes import corrections
from tasks_app.sources.base import Bar

BAR = Bar(date(2024, 3, 1), 10.0, 10.5, 9.5, 10.2, 1_000)


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({}, False),
        ({"close": 10.2 + 1e-12}, False),
        ({"close": 10.21}, True),
        ({"volume": 1_001}, True),
        ({"amount": 10_000.0}, True),
    ],
)
def test_same_source_corrects_every_digit(fields, differs):
    assert (corrections.diff_bars(BAR, BAR._replace(**fields), same_source=True) is not None) == differs


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({"close": 10.204}, False),
        ({"close": 10.21}, True),
        ({"volume": 1_099}, False),
        ({"volume": 1_100}, True),
        ({"turnover": 5.0}, False),
        ({"amount": 10_005.0}, False),
        ({"amount": 10_050.0}, True),
    ],
)
def test_other_source_corrects_beyond_rounding(fields, differs):
    old = BAR._replace(amount=10_000.0, turnover=1.0)
    new = BAR._replace(**{"amount": 10_000.0, **fields})
    assert (corrections.diff_bars(old, new, same_source=False) is not None) == differs
