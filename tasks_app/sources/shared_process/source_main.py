"""Runs sources in a shared process: their clients take much memory, which so is there once per machine.

A request is `MethodCall`; the response has the recorded exchanges, and ("returned", what the method returned)
or an error as `pack_error`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple

from tasks_app.conf import Conf
from tasks_app.sources import base, raw_answers
from tasks_app.sources.base import Permanent, Source, SourceError, Transient, UnknownStock, take_permit
from tasks_app.sources.shared_process.server import Server, run

KINDS = {
    kind.__name__: kind for kind in (base.SourceRefusal, UnknownStock, Permanent, Transient, SourceError)
}

WITHOUT_REQUEST = ("left_aside", "end_session")  # methods that cost no permit


class MethodCall(NamedTuple):
    """A call of a source's method."""

    module: str
    kind: str  # the name of its class
    name: str  # under which the source is registered
    conf: Conf
    method: str
    arguments: tuple[Any, ...]
    is_recorded: bool = False


class MethodCalls:
    """Makes the calls. The source is made again when its settings have changed."""

    def __init__(self) -> None:
        self._made: tuple[object, Source | None] = (None, None)

    def handle(self, call: MethodCall) -> tuple[Any, ...]:
        """Returns what was recorded of the call, and what the method returned or its error.

        A lazy iterable is returned as a list.
        """
        kept = raw_answers.Recording()
        with raw_answers.recording(kept) if call.is_recorded else nullcontext():
            try:
                source = self._source(call)
                if call.method not in WITHOUT_REQUEST and not getattr(source, "takes_first_permit", False):
                    take_permit()
                answer = getattr(source, call.method)(*call.arguments)
                response = (
                    "returned",
                    answer if isinstance(answer, Mapping | Sequence | None) else list(answer),
                )
            except Exception as error:
                response = pack_error(error)
        return [tuple(each) for each in kept.exchanges], response

    def _source(self, call: MethodCall) -> Source:
        wanted = call[:4]
        known, source = self._made
        if source is None or known != wanted:
            kind = getattr(import_module(call.module), call.kind)
            source = type(call.kind, (kind,), {"name": call.name}).from_conf(call.conf)  # type: ignore[attr-defined]
            self._made = wanted, source
        return source


def pack_error(error: Exception) -> tuple[Any, ...]:
    """Returns an error as plain values: its class may not be known to the caller, or not be picklable."""
    if isinstance(error, MemoryError):
        return ("memory",)
    if isinstance(error, SourceError):
        name = next(name for name, kind in KINDS.items() if isinstance(error, kind))
        return "failed", name, str(error), error.code, error.retry_after
    return "failed", "Permanent", f"{type(error).__name__}: {error}", "source_raised", None


def unpack(response: tuple[Any, ...]) -> Any:
    """Returns what a method returned, after keeping what was recorded. Raises its error."""
    exchanges, response = response
    raw_answers.keep([raw_answers.Exchange(*each) for each in exchanges])
    if response[0] == "returned":
        return response[1]
    if response[0] == "memory":
        raise MemoryError
    _, name, message, code, retry_after = response
    raise KINDS[name](message, code=code, retry_after=retry_after)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or it reserves 8 MB per core
    os.environ.setdefault("TQDM_DISABLE", "1")  # clients' progress bars would fill the workers' logs
    sys.modules["pyarrow"] = None  # type: ignore[assignment] # pandas would import it: 30 MB, used by nobody
    run(Server(MethodCalls().handle))
