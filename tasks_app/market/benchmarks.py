"""Well-known benchmark indices of Chinese stocks, which every user looks for first.

No built-in source has indices of Hong Kong or the United States, so there are none of those.
"""

from typing import NamedTuple

from django.utils.translation import get_language

from tasks_app.models.quotes import Market


class Benchmark(NamedTuple):
    """An index, with the first digits of the codes of the boards whose stocks it is compared with."""

    code: str
    name: str
    chinese_name: str
    boards: tuple[str, ...] = ()
    is_common: bool = True  # whether all built-in sources with indices have it


BENCHMARKS = (
    Benchmark("000001.SH", "SSE Composite", "上证指数", ("60", "900")),
    Benchmark("399001.SZ", "SZSE Component", "深证成指", ("00", "200")),
    Benchmark("399006.SZ", "ChiNext", "创业板指", ("30",)),
    Benchmark("000688.SH", "STAR 50", "科创50", ("68",)),
    Benchmark("899050.BJ", "BSE 50", "北证50", ("4", "8", "92"), is_common=False),
    Benchmark("000016.SH", "SSE 50", "上证50"),
    Benchmark("000300.SH", "CSI 300", "沪深300"),
    Benchmark("000905.SH", "CSI 500", "中证500"),
    Benchmark("000852.SH", "CSI 1000", "中证1000"),
    Benchmark("000985.SH", "CSI All Share", "中证全指"),
)


def of_market(market: str) -> tuple[Benchmark, ...]:
    """Returns the benchmarks of a market; none where no source has indices."""
    return BENCHMARKS if market == Market.CN else ()


def of_stock(market: str, code: str) -> Benchmark | None:
    """Returns the index of the stock's board; None for what is on no board."""
    return next((one for one in of_market(market) if code.startswith(one.boards or ("-",))), None)


def find(market: str, code: str) -> Benchmark | None:
    """Returns the benchmark of this code, if it is one."""
    return next((one for one in of_market(market) if one.code == code), None)


def display_name(benchmark: Benchmark) -> str:
    """Returns the name in the reader's language."""
    is_chinese = (get_language() or "").startswith("zh")
    return benchmark.chinese_name if is_chinese else benchmark.name
