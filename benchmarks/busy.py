"""What people and scripts notice while the market is collected: `python -m benchmarks.busy [URL]`.

A market run on two workers whose source answers at once, thousands of stocks of ten years each. The parts,
each during a run of its own in a market of its own, whose bars are stored for the first time:

pages     one browser that asks for page after page, without a pause. Promised: p99 of all 300 ms.
answers   starts and cancels in turns: request to the first bar that a reader sees, promised: p99 1 s (a
          market, and one stock), and request to the answer of a cancel, promised: p99 100 ms. The cancels
          interrupt the run, so its first stocks are the same each time and soon known.
watchers  a thousand clients that poll the status: no error, and how much slower the collection goes.
"""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from urllib.parse import urlsplit

from benchmarks.browser import SETTINGS, Browser, Page
from benchmarks.cancel import latencies
from benchmarks.client import Order, Run, first_bar, running, until
from benchmarks.load import Watchers, slowed
from benchmarks.product import Access, a_database, arguments, p99, quickstart, spread
from tasks_app.sources.simulated.exchange import symbol_at

DECADE: Order = {
    "start_date": "2014-01-01",
    "end_date": "2024-12-31",
    "source": "simulated",
    "force_update": True,
}
PAGES, CANCEL, FIRST_BAR = 0.3, 0.1, 1.0  # seconds promised


def tell(name: str, seconds: Sequence[float], promised: float | None = None) -> bool:
    """Print them; whether the promise was kept."""
    kept = promised is None or p99(seconds) <= promised
    verdict = (
        "" if promised is None else f"; promised: p99 {promised * 1000:.0f} ms{'' if kept else ', MISSED'}"
    )
    print(f"  {name:<28}{spread(seconds)} ({len(seconds)}){verdict}", flush=True)
    return kept


def in_market(market: str) -> Order:
    return {**DECADE, "market": market}


# ---------------------------------------------------------------- pages


def places(browser: Browser, market: str) -> dict[str, str]:
    """The addresses of the pages that don't depend on the task, by name."""
    admin, code = "/admin/tasks_app", symbol_at(market, 0).code
    _, moved, _ = browser.get(f"{admin}/stock/of/{market}/{code}/")
    stock = urlsplit(moved.headers["Location"]).path
    return {
        "overview": "/admin/",
        "overview's refresh": "/admin/dashboard/live/",
        "tasks": f"{admin}/collectiontask/",
        "stocks": f"{admin}/stock/",
        "a stock": stock,
        "a stock's chart": stock.replace("change/", "bars.json"),
    }


def refresh(browser: Browser, page: Page) -> float:
    """As an open page does it: what changed since the last time."""
    taken, answer, body = browser.get(page.path, page.headers)
    page.take(answer.headers, body)
    return taken


def visits(browser: Browser, run: Run, market: str) -> Iterator[tuple[str, float]]:
    """Page after page, and the seconds that each took; never ends."""
    known, page = places(browser, market), Page(run.task_id)
    while True:
        run.go_on()
        if page.task_id != run.task_id:
            page = Page(run.task_id)
        yield "a task", browser.get(f"/admin/tasks_app/collectiontask/{run.task_id}/change/")[0]
        yield "a task's refresh", refresh(browser, page)
        for name, path in known.items():
            yield name, browser.get(path)[0]


def tell_pages(access: Access, given: argparse.Namespace) -> bool:
    run, seen = Run(access, in_market("CN")), defaultdict(list)
    browser = Browser(access)
    end, warm = time.monotonic() + given.seconds, set()
    for name, taken in visits(browser, run, "CN"):
        if name in warm:  # the first visit is not counted: a process reads a template once
            seen[name].append(taken)
        warm.add(name)
        if time.monotonic() > end:
            break
    run.stop()
    for name, seconds in seen.items():
        tell(name, seconds)
    return tell("all pages", list(chain(*seen.values())), PAGES)


# ---------------------------------------------------------------- answers


def one_stock(access: Access) -> float:
    """Seconds to the first bar of an order for one stock."""
    order = {**in_market("HK"), "stock_codes": [symbol_at("HK", 0).code]}
    task_id, seconds = first_bar(access, order)
    until(lambda: not running(access, task_id), "its end")
    return seconds


def tell_answers(access: Access, given: argparse.Namespace) -> bool:
    chance = random.Random(given.seed)
    firsts, cancels = latencies(access, in_market("HK"), given.cancels, chance, given.longest)
    alone = [one_stock(access) for _ in range(given.cancels // 2)]
    return all(
        [
            tell("cancel", cancels, CANCEL),
            tell("start to first bar, market", firsts, FIRST_BAR),
            tell("the same, one stock alone", alone, FIRST_BAR),
        ]
    )


# ---------------------------------------------------------------- watchers


def tell_watchers(access: Access, given: argparse.Namespace) -> bool:
    run = Run(access, in_market("US"))
    crowd = Watchers(access, run, given.clients, given.every)
    slower = slowed(run, crowd, given.pairs, given.window)
    run.stop()
    tell(f"{given.clients} watchers", crowd.seconds)
    print(f"  errors: {dict(crowd.errors) or 'none'}; collection slowed by {slower:.0%}", flush=True)
    return not crowd.errors


PARTS = {"pages": tell_pages, "answers": tell_answers, "watchers": tell_watchers}


def main() -> int:
    """1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.busy",
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
    given = arguments(parser, seconds=5.0, cancels=8, longest=0.3, pairs=1, window=3.0)
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(given.stocks),
        "COLLECTOR_SIMULATED_BARS": str(given.sessions),
        **SETTINGS,
    }
    with a_database(given.url) as url, quickstart(url, **settings) as access:
        kept = []
        for part in given.parts.split(","):
            print(
                f"{part}, while {given.stocks:,} stocks × {given.sessions:,} sessions are collected",
                flush=True,
            )
            kept.append(PARTS[part](access, given))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
