"""A source whose requests are made in a shared process."""

import sys
from dataclasses import fields
from os import environ
from typing import Any, cast

from tasks_app.conf import Conf
from tasks_app.sources.base import Request, Source
from tasks_app.sources.raw_answers import is_recording
from tasks_app.sources.shared_process.handle import ProcessHandle
from tasks_app.sources.shared_process.source_main import MethodCall, unpack

MODULE = "tasks_app.sources.shared_process.source_main"
METHODS = (
    "symbols",
    "symbols_adjusted",
    "symbols_of_kind",
    "fetch",
    "fetch_many",
    "fetch_day",
    "fetch_factors",
    "fetch_actions",
    "left_aside",
    "end_session",
)
SHARE_OF_TIMEOUT = 0.95  # after the source's own timeout, and before the engine's
# Processes that reach the vendor in another way are not shared.
ENVIRONMENT = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def make_remote(kind: type[Source], conf: Conf) -> Source:
    """Returns a source of this class whose requests are made in the process that the machine shares.

    Everything else, such as `offers_day`, is its own; `process` is the handle. A call's first permit is taken
    there, too. Raises as `from_conf` does.
    """
    key = [f"{name}={environ.get(name, '')}" for name in (*ENVIRONMENT, *map(str.lower, ENVIRONMENT))]
    handle = ProcessHandle(
        MODULE,
        vendor=kind.name,
        timeout=conf.fetch_timeout * SHARE_OF_TIMEOUT,
        key=key,
        megabytes=conf.worker_memory,
    )

    # A class that was derived for another name can't be imported.
    home = next((base.__module__, base.__qualname__) for base in kind.__mro__ if _can_be_imported(base))

    def remote(method: str) -> Any:
        def call(self: Source, *arguments: Any) -> Any:
            if method == "end_session" and not handle.pid:
                return None  # no process, so no session: none is started to say so
            plain = tuple(map(_plain, arguments))
            request = MethodCall(*home, kind.name, conf, method, plain, is_recording())
            return unpack(handle.send(request))

        return call

    methods = {name: remote(name) for name in METHODS if hasattr(kind, name)}
    own = {"process": handle, "takes_first_permit": True}
    remote_kind = cast("type[Source]", type(kind.__name__, (kind,), {**methods, **own}))
    return remote_kind.from_conf(conf)


def _plain(argument: Any) -> Any:
    """Returns requests without what the engine's own class adds: that imports Django."""
    if isinstance(argument, list | tuple):  # those of `fetch_many`
        return [_plain(each) for each in argument]
    if isinstance(argument, Request):
        return Request(**{field.name: getattr(argument, field.name) for field in fields(Request)})
    return argument


def _can_be_imported(kind: type) -> bool:
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
