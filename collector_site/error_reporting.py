"""What error mails and the log may show. Django does not redact every secret of this site."""

import logging
import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from tasks_app.source_settings import mask

_PASSWORD_IN_URL = re.compile(r"(://[^:/@\s]*:)[^/@\s]+(?=@)")


class RedactingReporterFilter(SafeExceptionReporterFilter):
    """Redacts passwords in URLs (DATABASE_URL, REDIS_URL) and secrets among the variables of frames.

    A failed connection to PostgreSQL has its parameters among the variables of its frames, a failed query
    its values, which may include the session's key.
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|CONNINFO|DSN|^params$", re.IGNORECASE
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        if isinstance(cleansed, str):  # str() for lazy strings
            return _PASSWORD_IN_URL.sub(rf"\g<1>{self.cleansed_substitute}", str(cleansed))
        return cleansed

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        variables = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in variables}.items()


class MaskingReporter(ExceptionReporter):
    """Masks the secrets of sources wherever they occur: in messages, variables and requests."""

    def get_traceback_html(self) -> SafeString:
        return mark_safe(mask(super().get_traceback_html()))  # noqa: S308 - it was safe before

    def get_traceback_text(self) -> SafeString:
        return mark_safe(mask(super().get_traceback_text()))  # noqa: S308


class StripTracebackFilter(logging.Filter):
    """Drops the traceback of a record: anybody can send the requests that are logged with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True
