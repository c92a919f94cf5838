"""How a source is treated: `python -m benchmarks.kindness [URL]`, with a source that takes 200 ms to answer.

1. Two workers at an allowed rate: achieved ÷ allowed, and the most requests in any window of one second
   (for slower rates: of one request's time). Promised: at least 95 %, and never one too many.
2. No rate: the speed-up by two and four slices, and by several requests in flight within one slice.
3. By day: the requests and the time that bring 5,400 stocks up to date with two missing days.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.client import MARKET, Order, start, status
from benchmarks.product import Access, a_database, arguments, quickstart
from tasks_app.sources.simulated.exchange import symbol_at
from tools.request_rate import most_within

LATENCY = 0.2
PROMISED = 0.95
FEW_BARS = {"COLLECTOR_SIMULATED_BARS": "5"}
TWO_DAYS = {**MARKET, "force_update": False, "start_date": "2024-12-30", "end_date": "2024-12-31"}


def some(stocks: int) -> Order:
    """An order for the market's first stocks, asked for one by one, whether they are stored or not."""
    codes = [symbol_at("CN", number).code for number in range(stocks)]
    return {**MARKET, "stock_codes": codes, "force_update": True}


def collect(access: Access, order: Order) -> float:
    """Seconds that a collection took."""
    began = time.perf_counter()
    task_id = start(access, order)
    while (now := status(access, task_id))["status"] == "running":
        time.sleep(0.05)
    assert (now["status"], now["failed_count"]) == ("completed", 0), now["failed_details"][:3]
    return time.perf_counter() - began


def times(log: Path) -> list[float]:
    """When each request to the simulated source began, in unix seconds."""
    return sorted(float(line.split()[0]) for line in log.read_text().splitlines())


def tell_rate(url: str, folder: Path, rate: float, seconds: float, workers: int) -> bool:
    """Whether the promise was kept."""
    log = folder / f"requests-{rate:g}"
    settings = {
        **FEW_BARS,
        "COLLECTOR_SIMULATED_LATENCY": str(LATENCY),
        "COLLECTOR_SIMULATED_RATE": str(rate),
        "COLLECTOR_SIMULATED_LOG": str(log),
    }
    with quickstart(url, *options(workers), **settings) as access:
        collect(access, some(int(rate * seconds)))
    begun = times(log)
    achieved = (len(begun) - 1) / (begun[-1] - begun[0]) / rate
    window = max(1.0, 1 / rate)
    most, allowed = most_within(begun, window), max(1, int(rate * window))
    verdict = f"{achieved:.1%} of it; at most {most} in {window:g} s, {allowed} allowed"
    print(f"{rate:g}/s, {workers} workers, {len(begun)} requests: {verdict}", flush=True)
    return achieved >= PROMISED and most <= allowed


def options(workers: int) -> tuple[str, ...]:
    return ("--workers", str(workers))


def tell_speed_up(url: str, stocks: int, ways: list[tuple[int, int]]) -> None:
    """Of each way: (slices, requests in flight in each); the first is what the others are compared with."""
    settings = {**FEW_BARS, "COLLECTOR_SIMULATED_LATENCY": str(LATENCY)}
    alone = 0.0
    for workers, in_flight in ways:
        with quickstart(url, *options(workers), COLLECTOR_IN_FLIGHT=str(in_flight), **settings) as access:
            took = collect(access, some(stocks))
        alone = alone or took
        share = stocks * LATENCY / took / (workers * in_flight)
        print(
            f"{workers} slices, {in_flight} in flight each: {took:.1f} s, {alone / took:.2f} times as fast; "
            f"{share:.1%} of the requests that so many can make",
            flush=True,
        )


def tell_by_day(url: str, folder: Path, stocks: int) -> None:
    log = folder / "by-day"
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(stocks),
        "COLLECTOR_SIMULATED_LATENCY": str(LATENCY),
        "COLLECTOR_SIMULATED_LOG": str(log),
    }
    with quickstart(url, **settings) as access:
        took = collect(access, TWO_DAYS)
    days = Counter(line.split()[2] for line in log.read_text().splitlines())
    print(
        f"{stocks} stocks, 2 missing days: {days.total()} requests, {took:.1f} s ({dict(days)})", flush=True
    )


def main() -> int:
    """1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kindness", description=__doc__)
    parser.add_argument("--rates", default="20,5", help="requests a second, with commas; empty: none")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each rate")
    parser.add_argument("--stocks", type=int, default=120, help="for the speed-up; 0: none")
    parser.add_argument("--slices", default="1,2,4")
    parser.add_argument("--in-flight", type=int, default=4, help="requests in one slice at once; 0: none")
    parser.add_argument("--market", type=int, default=5400, help="stocks brought up to date by day; 0: none")
    given = arguments(parser, rates="20", seconds=4.0, stocks=20, in_flight=0, market=0)
    with a_database(given.url) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = map(float, filter(None, given.rates.split(",")))
        kept = [tell_rate(url, folder, rate, given.seconds, workers=2) for rate in rates]
        if given.stocks:
            slices = [(int(number), 1) for number in given.slices.split(",")]
            tell_speed_up(url, given.stocks, [*slices, *([(1, given.in_flight)] if given.in_flight else [])])
        if given.market:
            tell_by_day(url, folder, given.market)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
