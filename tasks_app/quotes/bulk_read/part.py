"""What is read of one code."""

from dataclasses import dataclass
from datetime import date

from tasks_app.quotes.adjusted_prices import Basis


@dataclass(frozen=True, kw_only=True)
class Span:
    """The bars of one series from `first` to `last`; at most about `bars` of them."""

    code: str
    first: date
    last: date
    bars: int
    is_known: bool = False  # something was changed after the moment of the query


@dataclass(frozen=True, kw_only=True)
class Part(Span):
    """Those of one code, on one basis; `is_joined`: with those of its earlier codes."""

    basis: Basis
    is_joined: bool = False
