"""The index of the API, and its answer to every path that it does not have."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks_app.api.verbs import Verb

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class RootView(APIView):
    """Answers which paths there are, to everybody, as the schema does."""

    name, description = _("HTTP API"), ""  # of the browsable page
    permission_classes = (AllowAny,)
    schema = None
    groups: "Sequence[tuple[StrPromise, Sequence[URLPattern]]]" = ()
    root = ""

    def get(self, request: Request) -> Response:
        root = request.build_absolute_uri(self.root)
        paths = [
            {"method": row["method"], "path": root + row["path"], "name": row["name"]}
            for _title, each in self.groups
            for row in _rows(each)
        ]
        documents = {name: request.build_absolute_uri(reverse(name)) for name in ("docs", "schema")}
        return Response({**documents, "paths": paths})

    def sections(self) -> "list[tuple[StrPromise, list[dict[str, str]]]]":
        """Returns the title and the rows of each table of the browsable page."""
        return [(title, list(_rows(each))) for title, each in self.groups]


def _rows(patterns: Sequence[URLPattern]) -> Iterator[dict[str, str]]:
    """Yields method, path below the root, name and effect of each operation."""
    for pattern in patterns:
        view = cast(Any, pattern.callback)
        for method in view.actions:
            if method == "head":  # added by the first request
                continue
            verb = view.initkwargs["verbs"].get(method, Verb(view.initkwargs["name"]))
            yield {
                "method": method.upper(),
                "path": _template(pattern),
                "name": str(verb.title),
                "effect": str(verb.effect),
            }


def _template(pattern: URLPattern) -> str:
    """Returns a path with its parameters as OpenAPI writes them: `status/{task_id}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))


class NotFoundView(APIView):
    """Answers 404 on every other path of the API, to everybody."""

    name, description = _("Page not found"), ""  # of the browsable page
    authentication_classes: Sequence[Any] = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound
