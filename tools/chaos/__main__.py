"""Kills at random moments and compares with an undisturbed result. Exits with 1 if a promise was broken."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.postgresql import own_server
from tools.worker_machine import environment

SIMULATED = {
    "COLLECTOR_SIMULATED_STOCKS": "1000000",
    "COLLECTOR_SIMULATED_BARS": "20",
    "COLLECTOR_SIMULATED_LATENCY": "0.1",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    parser.add_argument(
        "--database",
        default="sqlite",
        help="sqlite or postgresql (temporary), or the URL of an empty database",
    )
    parser.add_argument("--seconds", type=float, default=120, help="how long faults are injected")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10_000), help="of the random moments and victims"
    )
    parser.add_argument("--strikes", help="faults to inject, comma separated, instead of random ones")
    parser.add_argument("--stocks", type=int, default=300, help="per collection")
    parser.add_argument(
        "--small", action="store_true", help="one worker machine and no web server, whose start takes seconds"
    )
    parser.add_argument("--hold", type=float, default=20, help="seconds that SQLite's write lock is held")
    parser.add_argument("--away", type=float, default=3, help="seconds that PostgreSQL is stopped")
    parser.add_argument("--redis", default="", help="the URL of a Redis that may be flushed (else: files)")
    parser.add_argument(
        "--expire", action="store_true", help="end the leases of lost processes at once, not in their time"
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    return parser.parse_args()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yields the URL, and the server if we may stop it."""
    if kind == "postgresql":
        with own_server() as server:
            yield server.get_uri(), server
    else:
        yield f"sqlite:///{folder / 'db.sqlite3'}" if kind == "sqlite" else kind, None


@contextmanager
def log_folder(keep: bool) -> Iterator[Path]:
    """Yields a folder for the logs; deletes it afterwards unless `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield folder
    if keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)


def main() -> int:
    """Returns 0 if every promise held."""
    options = arguments()
    with log_folder(options.keep) as folder, database(options.database, folder) as (url, server):
        log = str(folder / "requests")
        extra = {**SIMULATED, "REDIS_URL": options.redis, "COLLECTOR_SIMULATED_LOG": log}
        os.environ.update(environment(url, **extra))
        import django

        django.setup()
        from tools.chaos import drill, report
        from tools.chaos.site import ChaosSite

        print(f"seed {options.seed}", flush=True)
        with ChaosSite(folder, url, uuid.uuid4().hex, server, options.small) as site:
            return report.report(drill.Drill(site, options).run())


if __name__ == "__main__":
    sys.exit(main())
