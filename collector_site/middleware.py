"""Responses to HEAD, to impossible paths, in the reader's language and time zone; the use of sessions."""

from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest
from django.http.response import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import timezone

from tasks_app import time_zones
from tasks_app.api import errors
from tasks_app.lifecycle import user_sessions

ADMIN = "/admin/"


class StripHeadBodyMiddleware:
    """Gives responses to HEAD the headers of GET and no body.

    Django leaves that to the server: gunicorn logs a warning for each body, and a stream would be read.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method == "HEAD":
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = iter(())
            elif isinstance(response, HttpResponse):
                response.content = b""  # Content-Length stays
        return response


class DefaultLanguageMiddleware(LocaleMiddleware):
    """Answers clients that send no Accept-Language in COLLECTOR_LANGUAGE.

    Not by LANGUAGE_CODE, in which workers write what they store.
    """

    def process_request(self, request: HttpRequest) -> None:
        request.META.setdefault("HTTP_ACCEPT_LANGUAGE", settings.COLLECTOR.language)
        super().process_request(request)


class TimeZoneMiddleware:
    """Shows the times of the admin's pages in the reader's zone. The API's have the offset of the site's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(ADMIN):
            return self.get_response(request)
        with timezone.override(time_zones.zone_of_reader(request)):
            return self.get_response(request)


class SessionUseMiddleware:
    """Records that the session of a signed-in user is in use, once a minute."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        user_sessions.record_visit(request)
        return response


class NoNulMiddleware:
    """Keeps NUL, with which PostgreSQL refuses to compare a text, from the database.

    An admin page's path with one is answered with 404; the API says itself what is wrong with its paths.
    A cookie may hold one as "\\000", and then counts as not sent: it names no session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.COOKIES = {name: value for name, value in request.COOKIES.items() if "\0" not in value}
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: dict[str, object]
    ) -> None:
        if "\0" in request.path and not request.path.startswith(errors.API):
            raise Http404
