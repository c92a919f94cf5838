"""Bulk reads of bars: streams as Arrow, Parquet, CSV or JSON, a few at a time."""

from collections.abc import Mapping
from typing import Any, cast

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api.bulk_query import bulk_query, from_query_string
from tasks_app.api.bulk_stream import open_stream
from tasks_app.api.openapi import data as openapi
from tasks_app.api.renderers import ApiJSONRenderer, ArrowRenderer, CSVRenderer, ParquetRenderer
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.http.conditional import conditional_response, etag_for
from tasks_app.market import codes
from tasks_app.quotes.bulk_read.query import BulkQuery

ENCODED = ("csv", "json")  # formats that have no compression of their own


class BulkViewSet(BrowsableViewSet):
    """The bars of many stocks."""

    renderer_classes = (
        *(ApiJSONRenderer, CSVRenderer, ArrowRenderer, ParquetRenderer),
        BrowsableAPIRenderer,  # of errors and the form: a browser, too, gets bars as JSON
    )
    reading_actions = ("query",)

    @openapi.BULK
    def bars(self, request: Request) -> HttpResponseBase:
        return _respond(request, from_query_string(request.query_params))

    @openapi.BULK_POST
    def query(self, request: Request) -> HttpResponseBase:
        return _respond(request, cast("dict[str, Any]", request.data))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Errors are JSON, whatever format was asked for, or a page in a browser."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if (
            isinstance(response, Response)
            and response.accepted_renderer.format != BrowsableAPIRenderer.format
        ):
            response.accepted_renderer = ApiJSONRenderer()
            response.accepted_media_type = ApiJSONRenderer.media_type
        return response


def _respond(request: Request, data: Mapping[str, Any]) -> HttpResponseBase:
    """Returns the bars, or a 304 to a client that has this version of them."""
    from tasks_app.quotes.bulk_read import version  # with it come pyarrow and numpy, which few processes need

    query = bulk_query(data)
    _require_basis(query)
    renderer: Any = request.accepted_renderer
    if renderer.format == BrowsableAPIRenderer.format:
        renderer = ApiJSONRenderer
    content = version.content_version(query)

    def build() -> HttpResponseBase:
        encoding = _encoding(request) if renderer.format in ENCODED else ""
        is_head = request.method == "HEAD"
        stream = iter(()) if is_head else open_stream(request, query, renderer.format, encoding, content)
        response = StreamingHttpResponse(stream, content_type=renderer.media_type)
        response["Content-Disposition"] = f'attachment; filename="bars-{query.market}.{renderer.format}"'
        if encoding:
            response["Content-Encoding"] = encoding
        patch_vary_headers(response, ("Accept", "Accept-Encoding"))
        return response

    return conditional_response(request._request, etag_for(f"{content} {renderer.format}"), build)


def _require_basis(query: BulkQuery) -> None:
    """Raises `ValidationError` if named stocks lack the computed series that is demanded, or all lack prices.

    An adjustment that no stock has would be an empty answer that looks like one without bars.
    """
    from tasks_app.quotes.bulk_read.parts import codes_without_basis, has_series

    if query.codes is not None and query.basis and (missing := codes_without_basis(query)):
        sentence = _("There are no unadjusted bars with adjustment factors of these stocks: %(codes)s.")
        raise ValidationError({"basis": [sentence % {"codes": codes.count_codes(missing)}]})
    if query.adjust and not has_series(query):
        sentence = _(
            "Of these stocks, neither bars with the adjustment %(adjust)s are stored nor factors or actions "
            "to compute them from. Collect them first, or read unadjusted bars."
        )
        raise ValidationError({"adjust": [sentence % {"adjust": query.adjust}]})


def _encoding(request: Request) -> str:
    """Returns the content encoding that the client prefers among ours; "" for none."""
    accepted: dict[str, float] = {}
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        try:
            accepted[name.strip()] = float(quality.partition("=")[2] or 1)
        except ValueError:  # a malformed quality: as if the encoding were not named
            continue
    ours = [name for name in ("zstd", "gzip") if accepted.get(name, accepted.get("*", 0)) > 0]
    return max(ours, key=lambda name: accepted.get(name, 0), default="")
