"""Measures the request rate at a source with 200 ms latency: `python -m benchmarks.request_rate [URL]`.

1. Two workers with a rate limit: achieved ÷ allowed rate, and the most requests in any window of one second
   (for slower rates: of one interval). Targets: at least 95 %, and never one request too many.
2. No rate limit: the speed-up with two and four slices, and with several requests in flight in one slice.
3. Whole days: the requests and the seconds that bring 5,400 stocks with two missing days up to date.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.api_client import MARKET, CollectionRequest, start, status
from benchmarks.harness import Access, parse_arguments, quickstart, temporary_database
from tasks_app.sources.simulated.exchange import symbol_at
from tools.request_rate import most_within

LATENCY = 0.2
TARGET = 0.95
FEW_BARS = {"COLLECTOR_SIMULATED_BARS": "5"}
TWO_DAYS = {**MARKET, "force_update": False, "start_date": "2024-12-30", "end_date": "2024-12-31"}


def collection_of(stocks: int) -> CollectionRequest:
    """A collection of the market's first stocks, requested one by one whether stored or not."""
    codes = [symbol_at(number).code for number in range(stocks)]
    return {**MARKET, "stock_codes": codes, "force_update": True}


def collect(access: Access, order: CollectionRequest) -> float:
    """Runs a collection; returns its seconds."""
    began = time.perf_counter()
    task_id = start(access, order)
    while (now := status(access, task_id))["status"] == "running":
        time.sleep(0.05)
    assert (now["status"], now["failed_count"]) == ("completed", 0), now["failed_details"][:3]
    return time.perf_counter() - began


def request_times(log: Path) -> list[float]:
    """Returns the unix times at which requests to the simulated source began, ascending."""
    return sorted(float(line.split()[0]) for line in log.read_text().splitlines())


def report_rate(url: str, folder: Path, rate: float, seconds: float, workers: int) -> bool:
    """Prints achieved and allowed rate; returns whether the target was met."""
    log = folder / f"requests-{rate:g}"
    settings = {
        **FEW_BARS,
        "COLLECTOR_SIMULATED_LATENCY": str(LATENCY),
        "COLLECTOR_SIMULATED_RATE": str(rate),
        "COLLECTOR_SIMULATED_LOG": str(log),
    }
    with quickstart(url, *worker_options(workers), **settings) as access:
        collect(access, collection_of(int(rate * seconds)))
    begun = request_times(log)
    achieved = (len(begun) - 1) / (begun[-1] - begun[0]) / rate
    window = max(1.0, 1 / rate)
    most, allowed = most_within(begun, window), max(1, int(rate * window))
    verdict = f"{achieved:.1%} of it; at most {most} in {window:g} s, {allowed} allowed"
    print(f"{rate:g}/s, {workers} workers, {len(begun)} requests: {verdict}", flush=True)
    return achieved >= TARGET and most <= allowed


def worker_options(workers: int) -> tuple[str, ...]:
    return ("--workers", str(workers))


def report_speed_up(url: str, stocks: int, variants: list[tuple[int, int]]) -> None:
    """Compares pairs of (slices, requests in flight per slice) with the first one."""
    settings = {**FEW_BARS, "COLLECTOR_SIMULATED_LATENCY": str(LATENCY)}
    alone = 0.0
    for workers, in_flight in variants:
        with quickstart(
            url, *worker_options(workers), COLLECTOR_IN_FLIGHT=str(in_flight), **settings
        ) as access:
            took = collect(access, collection_of(stocks))
        alone = alone or took
        share = stocks * LATENCY / took / (workers * in_flight)
        print(
            f"{workers} slices, {in_flight} in flight each: {took:.1f} s, {alone / took:.2f} times as fast; "
            f"{share:.1%} of the requests that so many can make",
            flush=True,
        )


def report_by_day(url: str, folder: Path, stocks: int) -> None:
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
    """Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request_rate", description=__doc__)
    parser.add_argument("--rates", default="20,5", help="requests a second, with commas; empty: none")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each rate")
    parser.add_argument("--stocks", type=int, default=120, help="for the speed-up; 0: none")
    parser.add_argument("--slices", default="1,2,4")
    parser.add_argument("--in-flight", type=int, default=4, help="requests in one slice at once; 0: none")
    parser.add_argument("--market", type=int, default=5400, help="stocks brought up to date by day; 0: none")
    options = parse_arguments(parser, rates="20", seconds=4.0, stocks=20, in_flight=0, market=0)
    with temporary_database(options.url) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = map(float, filter(None, options.rates.split(",")))
        met = [report_rate(url, folder, rate, options.seconds, workers=2) for rate in rates]
        if options.stocks:
            slices = [(int(number), 1) for number in options.slices.split(",")]
            report_speed_up(
                url, options.stocks, [*slices, *([(1, options.in_flight)] if options.in_flight else [])]
            )
        if options.market:
            report_by_day(url, folder, options.market)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
