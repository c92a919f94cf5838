"""WSGI entry point."""

import os
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")


class Utf8Request(WSGIRequest):
    """Reads every request as UTF-8 and ignores the charset of its Content-Type.

    Django adopts any charset that Python has a codec for. With one that is no text encoding, such as
    "charset=hex", it fails with a 500 before any middleware could answer.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


def _load() -> None:
    """Imports what the first requests would: gunicorn does it once before it forks, so processes share it."""
    import tasks_app.quotes.bulk_read.formats  # noqa: F401 - with pyarrow and numpy

    get_resolver().url_patterns  # noqa: B018 - imports all views


application = get_wsgi_application()
application.request_class = Utf8Request
_load()
