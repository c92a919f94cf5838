"""How answers are written: JSON with times that carry an offset, HTML for browsers, CSV for quotes."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from tasks_app.lifecycle import payloads


class ApiJSONRenderer(JSONRenderer):
    """One line, or indented for whoever asks for it, as the browsable pages do."""

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
    """Stands for CSV when the form of an answer is negotiated, and renders nothing.

    The quotes stream their CSV themselves, and answer what is no stream, such as errors, as JSON.
    """

    media_type = "text/csv"
    format = "csv"


class ApiContentNegotiation(DefaultContentNegotiation):
    """REST framework's, but an unknown `?format=` is a mistake in the request, not a missing page."""

    def filter_renderers(
        self,
        renderers: Iterable[BaseRenderer],
        format: str,  # noqa: A002
    ) -> list[BaseRenderer]:
        fitting = [renderer for renderer in renderers if renderer.format == format]
        if not fitting:
            known = ", ".join(renderer.format for renderer in renderers)
            raise ValidationError(
                {"format": [_("Unknown format. Known here: %(known)s.") % {"known": known}]}
            )
        return fitting


class JSONOnlyNegotiation(DefaultContentNegotiation):
    """JSON, whatever a probe says it accepts."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type
