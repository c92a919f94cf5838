"""The side bar, for every page and for the search."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """Returns the sections of the setting UNFOLD with the entries that the user may see; one is `active`.

    The theme's own method takes far longer: for badges, tabs and nested entries, of which there are none.
    """
    home = reverse("admin:index")
    return [
        {
            "title": section["title"],
            "items": [
                _entry(item, request, home) for item in section["items"] if item["permission"](request)
            ],
        }
        for section in settings.UNFOLD["SIDEBAR"]["navigation"]
    ]


def _entry(item: dict[str, Any], request: HttpRequest, home: str) -> dict[str, Any]:
    link = str(item["link"])
    is_active = link == request.path if link == home else link in request.path
    if "active" in item:
        is_active = bool(item["active"](request))
    return {"title": item["title"], "icon": item["icon"], "link": link, "active": is_active}
