"""What became of a request to a source, for its history and for the decision what to do next."""

from collections.abc import Mapping
from typing import Any

from tasks_app.engine.call_pool import Call, OutOfMemory
from tasks_app.sources.base import SourceError, SourceRefusal, Transient, UnknownStock
from tasks_app.sources.shared_process.handle import NO_TURN
from tasks_app.throttle.history import Kind, RequestCounter
from tasks_app.throttle.limiter import CERTAIN_ERRORS, NO_PERMIT, STOCK_ERRORS


def count(counter: RequestCounter, call: Call[Any]) -> None:
    """Counts a call that has ended, unless nothing was sent."""
    error = call.error
    if call.missed or (error and error.code == NO_TURN):
        return
    if error is None:
        counter.count(Kind.ANSWERED if _has_content(call.result) else Kind.EMPTY, call.seconds)
    elif isinstance(error, UnknownStock):
        counter.count(Kind.EMPTY, call.seconds, error.code)
    else:
        is_refusal = concerns_source(error) and not isinstance(error, OutOfMemory)
        kind = Kind.REFUSED if is_refusal and error.code != NO_PERMIT else Kind.FAILED
        counter.count(kind, call.seconds, error.code)


def concerns_source(error: SourceError) -> bool:
    """Returns whether an error of a request of many stocks would be that of each of them, too."""
    if isinstance(error, Transient):
        return error.code not in STOCK_ERRORS
    return isinstance(error, SourceRefusal | OutOfMemory) or error.code in CERTAIN_ERRORS


def _has_content(answer: Any) -> bool:
    """Returns whether an answer has a row; that to a batch has one of some stock."""
    if isinstance(answer, Mapping):
        return any(bool(each) and not isinstance(each, SourceError) for each in answer.values())
    return bool(answer)
