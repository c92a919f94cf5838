"""Calls of AKShare's functions within a `http_calls.call_scope`, with their failures interpreted.

Imports requests: import this module only when a request is made.
"""

from collections.abc import Callable
from typing import Any

from tasks_app.sources.akshare.errors import interpret
from tasks_app.sources.base import SourceError
from tasks_app.sources.http_calls import current_scope


def call(function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """Calls a function of the client. Raises `SourceError`, of which `NoData` for `data: null`."""
    scope = current_scope()
    try:
        return function(*arguments, **options)
    except (SourceError, MemoryError):
        raise
    except Exception as error:
        raise interpret(error, scope.responses[-1] if scope.responses else None) from error
