"""The interactive document of the API. Swagger UI speaks English only: its words are replaced on the page."""

from typing import Any

from django.utils.translation import get_language, pgettext_lazy
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

WORDS = {  # as Swagger UI writes them: in the reader's language
    "Authorize": pgettext_lazy("Swagger", "Authorize"),
    "Available authorizations": pgettext_lazy("Swagger", "Available authorizations"),
    "Cancel": pgettext_lazy("Swagger", "Cancel"),
    "Clear": pgettext_lazy("Swagger", "Clear"),
    "Close": pgettext_lazy("Swagger", "Close"),
    "Code": pgettext_lazy("Swagger", "Code"),
    "Controls": pgettext_lazy("Swagger", "Sets"),
    "header.": pgettext_lazy("Swagger", "header."),
    "Curl": pgettext_lazy("Swagger", "Command with curl"),
    "Description": pgettext_lazy("Swagger", "Description"),
    "Details": pgettext_lazy("Swagger", "Details"),
    "Download": pgettext_lazy("Swagger", "Download"),
    "Edit Value": pgettext_lazy("Swagger", "Edit"),
    "Example Value": pgettext_lazy("Swagger", "Example"),
    "Examples": pgettext_lazy("Swagger", "Examples"),
    "Execute": pgettext_lazy("Swagger", "Execute"),
    "Headers:": pgettext_lazy("Swagger", "Headers:"),
    "Links": pgettext_lazy("Swagger", "Links"),
    "No links": pgettext_lazy("Swagger", "No links"),
    "Loading...": pgettext_lazy("Swagger", "Loading…"),
    "Logout": pgettext_lazy("Swagger", "Sign out"),
    "Media type": pgettext_lazy("Swagger", "Media type"),
    "Name": pgettext_lazy("Swagger", "Name"),
    "No parameters": pgettext_lazy("Swagger", "No parameters"),
    "Parameters": pgettext_lazy("Swagger", "Parameters"),
    "Request URL": pgettext_lazy("Swagger", "Request URL"),
    "Request body": pgettext_lazy("Swagger", "Request body"),
    "Request duration": pgettext_lazy("Swagger", "Request duration"),
    "Reset": pgettext_lazy("Swagger", "Reset"),
    "Response body": pgettext_lazy("Swagger", "Response body"),
    "Response headers": pgettext_lazy("Swagger", "Response headers"),
    "Responses": pgettext_lazy("Swagger", "Responses"),
    "Schema": pgettext_lazy("Swagger", "Schema"),
    "Schemas": pgettext_lazy("Swagger", "Schemas"),
    "Server response": pgettext_lazy("Swagger", "Server response"),
    "Try it out": pgettext_lazy("Swagger", "Try it out"),
    "Type": pgettext_lazy("Swagger", "Type"),
    "Value:": pgettext_lazy("Swagger", "Value:"),
    "required": pgettext_lazy("Swagger", "required"),
}


class DocsView(SpectacularSwaggerSplitView):
    """drf-spectacular's, with the words of Swagger UI in the reader's language."""

    # No OPTIONS: the page's renderer has no template for REST framework's metadata.
    http_method_names = ("get", "head")
    template_name = "api/docs.html"
    schema = None

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        if isinstance(response.data, dict) and not (get_language() or "").startswith("en"):
            response.data["words"] = {english: str(word) for english, word in WORDS.items()}
        return response
