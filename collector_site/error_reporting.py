"""What debug pages, error mails and the log may show: Django hides much, but not all that is secret here."""

import logging
import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

_IN_ADDRESS = re.compile(r"(://[^:/@\s]*:)[^/@\s]+(?=@)")


class RedactingReporterFilter(SafeExceptionReporterFilter):
    """Hides passwords within addresses (DATABASE_URL, REDIS_URL), and those that frames hold.

    The frames of a failed connection to PostgreSQL have its parameters as variables, those of a failed
    query its values, among them the session's key.
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|CONNINFO|DSN|^params$", re.IGNORECASE
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        if isinstance(cleansed, str):  # str() for lazy ones
            return _IN_ADDRESS.sub(rf"\g<1>{self.cleansed_substitute}", str(cleansed))
        return cleansed

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in found}.items()


class StripTracebackFilter(logging.Filter):
    """Leaves out where in the program it happened: anybody can send a request that is logged so."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True
