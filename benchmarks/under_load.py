"""Measures response times during a market collection: `python -m benchmarks.under_load [URL]`.

Two workers collect thousands of stocks with ten years each from a source without latency. Each part runs
during a collection of its own, on a database of its own, where bars are stored for the first time:

pages     one browser opens page after page without a pause. Target: p99 of all pages 300 ms.
answers   starts and cancels alternate: request to the first visible bar, target p99 1 s (a market, and one
          stock), and request to the response of a cancel, target p99 100 ms. The cancels interrupt the run,
          so its first stocks are the same each time and soon stored.
watchers  a thousand clients poll the status: no error, and by how much the collection slows down.
"""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from urllib.parse import urlsplit

from benchmarks.api_client import CollectionRequest, Run, is_running, time_to_first_bar, wait_until
from benchmarks.browser_client import SETTINGS, Browser, TaskPage
from benchmarks.cancel import start_and_cancel
from benchmarks.harness import Access, format_spread, p99, parse_arguments, quickstart, temporary_database
from benchmarks.polling_load import StatusPollers, slowdown
from tasks_app.sources.simulated.exchange import symbol_at

DECADE: CollectionRequest = {
    "start_date": "2014-01-01",
    "end_date": "2024-12-31",
    "source": "simulated",
    "force_update": True,
}
PAGES, CANCEL, FIRST_BAR = 0.3, 0.1, 1.0  # targets in seconds


def report(name: str, seconds: Sequence[float], target: float | None = None) -> bool:
    """Prints the times; returns whether the target was met."""
    met = target is None or p99(seconds) <= target
    verdict = "" if target is None else f"; target: p99 {target * 1000:.0f} ms{'' if met else ', MISSED'}"
    print(f"  {name:<28}{format_spread(seconds)} ({len(seconds)}){verdict}", flush=True)
    return met


# ---------------------------------------------------------------- pages


def page_addresses(browser: Browser) -> dict[str, str]:
    """Returns the addresses of the pages that do not depend on the task, by name."""
    admin, code = "/admin/tasks_app", symbol_at(0).code
    _, moved, _ = browser.get(f"{admin}/stock/of/SIM/{code}/")
    stock = urlsplit(moved.headers["Location"]).path
    return {
        "overview": "/admin/",
        "overview's refresh": "/admin/dashboard/live/",
        "tasks": f"{admin}/collectiontask/",
        "stocks": f"{admin}/stock/",
        "a stock": stock,
        "a stock's chart": stock.replace("change/", "bars.json"),
    }


def refresh(browser: Browser, page: TaskPage) -> float:
    """Refreshes as an open page does; returns the seconds."""
    seconds, response, body = browser.get(page.path, page.headers)
    page.update(response.headers, body)
    return seconds


def visits(browser: Browser, run: Run) -> Iterator[tuple[str, float]]:
    """Yields (name, seconds) of page after page, without end."""
    addresses, page = page_addresses(browser), TaskPage(run.task_id)
    while True:
        run.restart_if_ended()
        if page.task_id != run.task_id:
            page = TaskPage(run.task_id)
        yield "a task", browser.get(f"/admin/tasks_app/collectiontask/{run.task_id}/change/")[0]
        yield "a task's refresh", refresh(browser, page)
        for name, path in addresses.items():
            yield name, browser.get(path)[0]


def report_pages(access: Access, options: argparse.Namespace) -> bool:
    run, times = Run(access, DECADE), defaultdict(list)
    browser = Browser(access)
    end, warm = time.monotonic() + options.seconds, set()
    for name, seconds in visits(browser, run):
        if name in warm:  # the first visit is not counted: a process reads a template once
            times[name].append(seconds)
        warm.add(name)
        if time.monotonic() > end:
            break
    run.stop()
    for name, seconds in times.items():
        report(name, seconds)
    return report("all pages", list(chain(*times.values())), PAGES)


# ---------------------------------------------------------------- answers


def time_one_stock(access: Access) -> float:
    """Returns the seconds to the first bar of a collection of one stock."""
    order = {**DECADE, "stock_codes": [symbol_at(0).code]}
    task_id, seconds = time_to_first_bar(access, order)
    wait_until(lambda: not is_running(access, task_id), "its end")
    return seconds


def report_answers(access: Access, options: argparse.Namespace) -> bool:
    rng = random.Random(options.seed)
    firsts, cancels = start_and_cancel(access, DECADE, options.cancels, rng, options.longest)
    alone = [time_one_stock(access) for _ in range(options.cancels // 2)]
    return all(
        [
            report("cancel", cancels, CANCEL),
            report("start to first bar, market", firsts, FIRST_BAR),
            report("the same, one stock alone", alone, FIRST_BAR),
        ]
    )


# ---------------------------------------------------------------- watchers


def report_watchers(access: Access, options: argparse.Namespace) -> bool:
    run = Run(access, DECADE)
    clients = StatusPollers(access, run, options.clients, options.every)
    slower = slowdown(run, clients, options.pairs, options.window)
    run.stop()
    report(f"{options.clients} watchers", clients.seconds)
    print(f"  errors: {dict(clients.errors) or 'none'}; collection slowed by {slower:.0%}", flush=True)
    return not clients.errors


PARTS = {"pages": report_pages, "answers": report_answers, "watchers": report_watchers}


def main() -> int:
    """Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.under_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--stocks", type=int, default=5400)
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the pages")
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument(
        "--longest", type=float, default=1.0, help="s from a first bar to its cancel, at most"
    )
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--every", type=float, default=2.0, help="s between a client's requests")
    parser.add_argument("--pairs", type=int, default=3, help="windows without and with watchers")
    parser.add_argument("--window", type=float, default=12.0, help="s of each")
    parser.add_argument("--seed", type=int, default=7)
    options = parse_arguments(parser, seconds=5.0, cancels=8, longest=0.3, pairs=1, window=3.0)
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(options.stocks),
        "COLLECTOR_SIMULATED_BARS": str(options.sessions),
        **SETTINGS,
    }
    met = []
    for part in options.parts.split(","):
        print(
            f"{part}, while {options.stocks:,} stocks × {options.sessions:,} sessions are collected",
            flush=True,
        )
        with temporary_database(options.url) as url, quickstart(url, **settings) as access:
            met.append(PARTS[part](access, options))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
