"""The cache that all processes share: Redis, or files."""

import secrets
from collections.abc import Iterator

from django.conf import settings
from django.core.cache import cache

from tasks_app.diagnostics.findings import Finding, fault, ok, operations
from tasks_app.diagnostics.texts import gettext_lazy as _

SECONDS = 0.4  # to connect, and to answer
KEY = "doctor"

WORKS = ok("cache_works", _("The cache works (%(where)s)."))
REDIS_AWAY = fault(
    "redis_unreachable",
    _("Redis does not respond: %(reason)s"),
    _(
        "Start it, or correct REDIS_URL, the same on all machines. Meanwhile pages show no"
        " workers; work goes on."
    ),
    operations("the-worker-machine"),
)
BROKEN = fault(
    "cache_broken",
    _("The cache does not keep what is stored in it: %(reason)s"),
    _(
        "Give the folder .cache to the user that runs web server and workers; pages show no"
        " workers without it."
    ),
    operations("the-worker-machine"),
)


def examine() -> Iterator[Finding]:
    """Stores a value and reads it. Waits for Redis for less than a second."""
    where = "Redis" if settings.REDIS_URL else str(settings.CACHES["default"].get("LOCATION", ""))
    if settings.REDIS_URL and (reason := _why_redis_is_away(settings.REDIS_URL)):
        yield REDIS_AWAY(reason=reason)
        return
    value = secrets.token_hex(8)
    try:
        cache.set(KEY, value, 60)
        reason = "" if cache.get(KEY) == value else str(_("it returned something else"))
    except Exception as error:  # any error of the cache's backend
        reason = f"{type(error).__name__}: {error}"
    yield BROKEN(reason=reason) if reason else WORKS(where=where)


def _why_redis_is_away(url: str) -> str:
    from redis import Redis, RedisError

    try:
        with Redis.from_url(url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS) as client:
            client.ping()
    except (RedisError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
