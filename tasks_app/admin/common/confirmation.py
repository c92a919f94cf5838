"""The page that asks before a verb is done."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from tasks_app.admin.crumbs import Crumb


def ask(
    admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    title: Any,
    question: Any,
    facts: Iterable[Any],
    yes: Any,
    back: str,
    crumbs: Iterable[Crumb] = (),
    lines: Iterable[Any] = (),
    hidden: Mapping[str, Any] | None = None,
    danger: bool = True,
) -> HttpResponse:
    """Ask the question, say what will happen (`facts`) and to what (`lines`); "yes" posts `hidden`.

    The answer goes by POST to the page's own address.
    """
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "question": question,
        "facts": list(facts),
        "lines": list(lines),
        "yes": yes,
        "back": back,
        "crumbs": [*crumbs, Crumb(title)],
        "hidden": {key: _as_list(value) for key, value in (hidden or {}).items()},
        "danger": danger,
        "media": admin.media,
    }
    return TemplateResponse(request, "admin/tasks_app/confirm.html", context)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
