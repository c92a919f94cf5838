"""How responses are written: JSON whose times carry an offset, HTML for browsers, CSV for quotes."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from tasks_app.lifecycle import payloads


class ApiJSONRenderer(JSONRenderer):
    """One line; indented where the client asks for it, as the browsable pages do."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        indent = self.get_indent(accepted_media_type or "", dict(renderer_context or {}))
        return payloads.encode(data, indent=bool(indent))


class CSVRenderer(BaseRenderer):
    """Takes part in content negotiation only. The view of the quotes streams its CSV itself."""

    media_type = "text/csv"
    format = "csv"


class ArrowRenderer(BaseRenderer):
    """An Arrow IPC stream. Like all that follow, it takes part in content negotiation only."""

    media_type = "application/vnd.apache.arrow.stream"
    format = "arrow"


class ParquetRenderer(BaseRenderer):
    media_type = "application/vnd.apache.parquet"
    format = "parquet"


class ApiContentNegotiation(DefaultContentNegotiation):
    """REST framework's, with two differences.

    A body without a Content-Type is JSON, as clients of the old service send it. An unknown `?format=` is a
    400 for the parameter and not a 404.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return super().select_parser(request, parsers) if request.content_type else next(iter(parsers))

    def filter_renderers(
        self,
        renderers: Iterable[BaseRenderer],
        format: str,  # noqa: A002
    ) -> list[BaseRenderer]:
        matching = [renderer for renderer in renderers if renderer.format == format]
        if not matching:
            formats = ", ".join(renderer.format for renderer in renderers)
            raise ValidationError(
                {"format": [_("Unknown format. Available: %(formats)s.") % {"formats": formats}]}
            )
        return matching
